//! What concerns every request's head: path, trusted proxies, Via.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Checks, all};
use crate::file::PathNormalisationFile;
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::path_normalisation::PathNormalisation;

pub(super) fn path_normalisation(
    path: &str,
    part: Part<PathNormalisationFile>,
    checks: &mut Checks,
) -> Option<PathNormalisation> {
    let file = checks.read(path, part)?;
    let merge_slashes = checks.read(&join_key(path, "merge_slashes"), file.merge_slashes);
    let encoded_slashes = checks.read(&join_key(path, "encoded_slashes"), file.encoded_slashes);
    Some(PathNormalisation {
        merge_slashes: merge_slashes?,
        encoded_slashes: encoded_slashes?,
    })
}

pub(super) fn trusted_proxies(
    path: &str,
    part: Part<Vec<Part<String>>>,
    checks: &mut Checks,
) -> Option<Vec<IpNet>> {
    let parts = checks.read(path, part)?;
    let networks = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| checks.text(&join_index(path, index), part, network));
    all(networks)
}

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| "expected a network such as 10.0.0.0/8, or an IP address".to_owned())?;
    if network != network.trunc() {
        return Err(format!(
            "has bits beyond its prefix: write {}",
            network.trunc()
        ));
    }
    Ok(network)
}

/// The pseudonym of RFC 9110 §7.6.3; `none` turns the field off.
pub(super) fn via(path: &str, part: Part<String>, checks: &mut Checks) -> Option<Option<String>> {
    let name = checks.text(path, part, |text| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_token) {
            Ok(text.to_owned())
        } else {
            Err(
                "expected a name of 1 to 64 letters, digits, - and . without spaces, or none"
                    .into(),
            )
        }
    })?;
    Some((name != "none").then_some(name))
}
