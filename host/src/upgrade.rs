//! What a request asks of the connection that it goes over: to switch protocols, to carry trailers.
//!
//! Read before hop-by-hop fields go; asked anew of the connection to the upstream.

use http::header::{CONNECTION, HeaderValue, TE, UPGRADE};
use http::{Extensions, HeaderMap};
use hyper::upgrade::OnUpgrade;
use portcullis_config::Upgrades;

/// A client's wish to switch protocols (RFC 9110 §7.8).
#[derive(Debug, Clone)]
pub struct Upgrade {
    protocols: HeaderValue,
}

impl Upgrade {
    /// The wish of a request with these fields, of which hyper has taken note.
    pub fn asked(headers: &HeaderMap, extensions: &mut Extensions) -> Option<Self> {
        // The listener takes the connection over itself.
        extensions.remove::<OnUpgrade>()?;
        let protocols = headers.get(UPGRADE)?.clone();
        Some(Self { protocols })
    }

    /// The protocols that the route allows, as an `Upgrade` field; `None` if there are none.
    pub fn offer(&self, allowed: &Upgrades) -> Option<HeaderValue> {
        let protocols = self.protocols.to_str().ok()?.split(',').map(str::trim);
        let offered: Vec<&str> = protocols
            .filter(|protocol| !protocol.is_empty() && allowed.allow(protocol))
            .collect();
        if offered.is_empty() {
            return None;
        }
        HeaderValue::try_from(offered.join(", ")).ok()
    }
}

/// Asks the next connection to switch to one of the protocols, or tells that it has.
pub fn ask(headers: &mut HeaderMap, protocols: &HeaderValue) {
    add_option(headers, "upgrade");
    headers.insert(UPGRADE, protocols.clone());
}

/// `TE: trailers`, the one value that passes.
pub fn accepts_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TE).iter();
    values.any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// RFC 9110 §10.1.4: with `TE`, `Connection` names it. HTTP/2 has `TE` alone.
pub fn ask_for_trailers(headers: &mut HeaderMap) {
    add_option(headers, "te");
    headers.insert(TE, HeaderValue::from_static("trailers"));
}

fn add_option(headers: &mut HeaderMap, option: &'static str) {
    headers.append(CONNECTION, HeaderValue::from_static(option));
}
