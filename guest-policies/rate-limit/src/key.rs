//! From the facts of a request to the text that names its bucket: short, printable, and never the
//! same for two different callers.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sha2::{Digest, Sha256};

/// The exchange's attribute that holds the caller's address.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The exchange's attribute that holds the route's name.
pub const ROUTE: &str = "route";

/// Up to this length a plain value stays readable in the store; UUIDs and most API keys fit.
const MAX_READABLE: usize = 40;

/// What stands for a selector that finds nothing, shared by all such requests, so that leaving a
/// header out is no way round a limit.
const ABSENT: &str = "absent";

/// What a key may be made from.
pub trait Facts {
    /// The first value of a request header.
    fn header(&self, name: &str) -> Option<String>;
    /// A documented fact of the exchange.
    fn attribute(&self, name: &str) -> Option<String>;
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The caller's address; IPv6 by its /64.
    ClientAddress,
    /// The route's name.
    Route,
    /// A header's first value, by lower-case name, or what `or` selects when it is missing or empty.
    Header {
        /// In lower case.
        name: String,
        /// The fallback.
        or: Option<Box<Selector>>,
    },
}

/// Appends the key text of all `selectors`, joined by commas, to `out`.
///
/// Each kind has a mark of its own (`name=`, `@`, `/`), so that a header's value can't pose as an address;
/// long or odd values become `#` and a hash.
pub fn append(selectors: &[Selector], facts: &impl Facts, out: &mut String) {
    for (i, selector) in selectors.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        append_one(selector, facts, out);
    }
}

fn append_one(mut selector: &Selector, facts: &impl Facts, out: &mut String) {
    loop {
        match selector {
            Selector::ClientAddress => return append_address(facts.attribute(CLIENT_ADDRESS), out),
            Selector::Route => return append_value("", '/', facts.attribute(ROUTE), out),
            Selector::Header { name, or } => {
                let value = facts.header(name).filter(|value| !value.is_empty());
                match (value, or) {
                    (None, Some(fallback)) => selector = fallback,
                    (value, _) => return append_value(name, '=', value, out),
                }
            }
        }
    }
}

fn append_value(name: &str, mark: char, value: Option<String>, out: &mut String) {
    let Some(value) = value else {
        return out.push_str(ABSENT);
    };
    out.push_str(name);
    out.push(mark);
    if value.len() <= MAX_READABLE && value.bytes().all(is_readable) {
        out.push_str(&value);
    } else {
        out.push('#');
        append_digest(value.as_bytes(), out);
    }
}

/// Bytes that mean nothing in a key's syntax, nor in a Redis Cluster hash tag.
fn is_readable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// The first 128 bits of SHA-256, in hex: `printf %s VALUE | sha256sum | cut -c1-32` gives the same.
fn append_digest(value: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in &Sha256::digest(value)[..16] {
        out.push(HEX[usize::from(byte >> 4)] as char);
        out.push(HEX[usize::from(byte & 15)] as char);
    }
}

fn append_address(text: Option<String>, out: &mut String) {
    let address = text.as_deref().and_then(parse_address);
    match address {
        Some(IpAddr::V4(v4)) => write!(out, "@{v4}").unwrap_or_default(),
        Some(IpAddr::V6(v6)) => append_v6(v6, out),
        None => append_value("", '@', text, out),
    }
}

/// A /64 is what one subscriber gets (RFC 6177), so its hosts share a bucket.
fn append_v6(v6: Ipv6Addr, out: &mut String) {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return write!(out, "@{v4}").unwrap_or_default();
    }
    let [a, b, c, d, ..] = v6.segments();
    write!(out, "@{a:x}:{b:x}:{c:x}:{d:x}").unwrap_or_default();
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let without_zone = text.split('%').next().unwrap_or(text);
    without_zone
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Request(HashMap<String, String>);

    impl Request {
        fn with(mut self, name: &str, value: &str) -> Self {
            self.0.insert(name.to_owned(), value.to_owned());
            self
        }
    }

    impl Facts for Request {
        fn header(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }

        fn attribute(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }
    }

    fn header(name: &str, or: Option<Selector>) -> Selector {
        Selector::Header {
            name: name.to_owned(),
            or: or.map(Box::new),
        }
    }

    fn key(selectors: &[Selector], request: &Request) -> String {
        let mut out = String::new();
        append(selectors, request, &mut out);
        out
    }

    fn address_key(address: &str) -> String {
        key(
            &[Selector::ClientAddress],
            &Request::default().with(CLIENT_ADDRESS, address),
        )
    }

    #[test]
    fn addresses_are_normalised() {
        for (address, expected) in [
            ("192.0.2.7", "@192.0.2.7"),
            ("192.0.2.7:5123", "@192.0.2.7"),
            ("::ffff:192.0.2.7", "@192.0.2.7"),
            ("[::ffff:192.0.2.7]:443", "@192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "@2001:db8:1:2"),
            ("2001:DB8:1:2::9", "@2001:db8:1:2"),
            ("[2001:db8:1:2::9]:443", "@2001:db8:1:2"),
            ("fe80::1%eth0", "@fe80:0:0:0"),
            ("::1", "@0:0:0:0"),
            ("unix", "@unix"),
        ] {
            assert_eq!(address_key(address), expected, "{address}");
        }
    }

    #[test]
    fn a_missing_or_empty_header_falls_back() {
        let selectors = [header("x-api-key", Some(Selector::ClientAddress))];
        let request = Request::default().with(CLIENT_ADDRESS, "192.0.2.7");
        assert_eq!(key(&selectors, &request), "@192.0.2.7");
        let request = request.with("x-api-key", "");
        assert_eq!(key(&selectors, &request), "@192.0.2.7");
        let request = request.with("x-api-key", "abc");
        assert_eq!(key(&selectors, &request), "x-api-key=abc");
    }

    #[test]
    fn what_is_absent_shares_one_bucket() {
        let selectors = [
            header("x-api-key", Some(header("x-user", None))),
            Selector::Route,
        ];
        assert_eq!(key(&selectors, &Request::default()), "absent,absent");
        assert_eq!(
            key(&selectors, &Request::default().with(ROUTE, "service1")),
            "absent,/service1"
        );
    }

    #[test]
    fn a_header_cannot_pose_as_something_else() {
        let selectors = [header(
            "x-api-key",
            Some(header("x-user", Some(Selector::ClientAddress))),
        )];
        let texts = ["@192.0.2.7", "192.0.2.7", "absent"];
        let mut keys: Vec<_> = texts
            .iter()
            .map(|t| key(&selectors, &Request::default().with("x-api-key", t)))
            .collect();
        keys.extend(
            texts
                .iter()
                .map(|t| key(&selectors, &Request::default().with("x-user", t))),
        );
        keys.extend(
            texts
                .iter()
                .map(|t| key(&selectors, &Request::default().with(CLIENT_ADDRESS, t))),
        );
        keys.push(key(&selectors, &Request::default()));
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        // "@192.0.2.7" and "192.0.2.7" as the attribute are no two addresses: the second is one, the first is text.
        assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn long_and_odd_values_are_hashed_as_sha256sum_does() {
        let hashed = |value: &str| key(&[header("k", None)], &Request::default().with("k", value));
        assert_eq!(hashed("a b"), "k=#c8687a08aa5d6ed2044328fa6a697ab8");
        assert_eq!(hashed(&"x".repeat(MAX_READABLE)).len(), 2 + MAX_READABLE);
        assert_eq!(hashed(&"x".repeat(65_536)).len(), 3 + 32);
    }

    proptest! {
        #[test]
        fn keys_are_short_safe_and_differ_when_the_values_differ(a in "\\PC{0,60}", b in "\\PC{0,60}") {
            let both = [header("x-api-key", None), Selector::Route];
            let of = |x: &str, y: &str| key(&both, &Request::default().with("x-api-key", x).with(ROUTE, y));
            let text = of(&a, &b);
            prop_assert!(text.len() <= 100 && text.is_ascii());
            let reserved = text.contains(['{', '}', ' ', ':']);
            prop_assert!(!reserved, "{}", text);
            prop_assert_eq!(of(&a, &b) == of(&b, &a), a == b);
        }
    }
}
