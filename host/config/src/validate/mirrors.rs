//! Mirrors: that their upstreams exist.

use super::{Checks, HOUR, MILLISECOND, Names};
use crate::file::MirrorFile;
use crate::mirror::Mirror;
use crate::part::Part;
use crate::path::join_key;

pub(super) fn mirror(
    path: &str,
    part: Part<MirrorFile>,
    names: &Names,
    checks: &mut Checks,
) -> Option<Mirror> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let known = names.upstreams.as_ref();
    let upstream = checks.reference(&at("upstream"), "upstream", file.upstream, known);
    let percent = checks.read(&at("percent"), file.percent);
    let timeout = checks.duration(&at("timeout"), file.timeout, MILLISECOND, HOUR);
    let max_body = checks.size(&at("max_body"), file.max_body, 0, 16 << 20);
    let max_in_flight = checks.read(&at("max_in_flight"), file.max_in_flight);
    Some(Mirror {
        upstream: upstream?,
        percent: percent?,
        timeout: timeout?,
        max_body: usize::try_from(max_body?).ok()?,
        max_in_flight: max_in_flight?,
    })
}
