//! The control API's listener.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Checks, all};
use crate::address;
use crate::control::Control;
use crate::file::ControlFile;
use crate::part::Part;
use crate::path::join_index;

pub(super) fn control(
    part: Part<ControlFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<Control> {
    let file = checks.read("control", part)?;
    let address = checks.text("control.address", file.address, address::socket_address);
    let token_file = checks.read("control.token_file", file.token_file);
    let hosts = checks.read("control.hosts", file.hosts).and_then(|hosts| {
        let parts = hosts.into_iter().enumerate();
        all::<_, BTreeSet<String>>(
            parts.map(|(index, part)| checks.text(&join_index("control.hosts", index), part, host)),
        )
    });
    Some(Control {
        address: address?,
        token_file: base.join(token_file?),
        hosts: hosts?,
        base: base.to_owned(),
    })
}

fn host(name: &str) -> Result<String, String> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if name.is_empty() || !name.bytes().all(is_of_name) {
        return Err(format!(
            "expected a host name without a port, such as gateway.internal, found \"{name}\""
        ));
    }
    Ok(name.to_ascii_lowercase())
}
