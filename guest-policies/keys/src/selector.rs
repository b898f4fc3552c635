//! From the facts of a request to the text that names its bucket: short, printable, and never the
//! same for two different callers.

use sha2::{Digest, Sha256};

use crate::{CLIENT_ADDRESS, Facts, ROUTE, address};

/// Up to this length a plain value stays readable in the store; UUIDs and most API keys fit.
const MAX_READABLE: usize = 40;

/// What stands for a selector that finds nothing, shared by all such requests, so that leaving a
/// header out is no way round a limit.
const ABSENT: &str = "absent";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The caller's address; in keys IPv6 counts by its /64.
    ClientAddress,
    /// The route's name.
    Route,
    /// A header's first value, by lower-case name.
    Header(String),
    /// The first cookie of that name.
    Cookie(String),
    /// The first parameter of that name in the query, decoded.
    Query(String),
    /// What an earlier policy has shared under that name, such as `identity`.
    Shared(String),
}

/// One part of a key: the first of these that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// In the order in which they are asked; at least one.
    pub sources: Vec<Source>,
}

impl Source {
    /// The value; `None` when there is none or it is empty.
    pub fn value(&self, facts: &impl Facts) -> Option<String> {
        let value = match self {
            Self::ClientAddress => facts.attribute(CLIENT_ADDRESS),
            Self::Route => facts.attribute(ROUTE),
            Self::Header(name) => facts.header(name),
            Self::Cookie(name) => facts.cookie(name),
            Self::Query(name) => facts.query(name),
            Self::Shared(name) => facts.shared(name),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Appends `value` with a mark of its kind. No mark but that of headers can begin a header's name.
    fn append(&self, value: &str, out: &mut String) {
        let (mark, name) = match self {
            Self::ClientAddress => return append_address(value, out),
            Self::Route => {
                out.push('/');
                return append_value(value, out);
            }
            Self::Header(name) => ("", name),
            Self::Cookie(name) => (";", name),
            Self::Query(name) => ("?", name),
            Self::Shared(name) => (">", name),
        };
        for part in [mark, name, "="] {
            out.push_str(part);
        }
        append_value(value, out);
    }
}

/// Appends the key text of all `selectors`, joined by commas, to `out`.
///
/// Each kind has a mark of its own (`name=`, `;name=`, `?name=`, `>name=`, `@`, `/`), so that a header's value
/// can't pose as an address; long or odd values become `#` and a hash.
pub fn append(selectors: &[Selector], facts: &impl Facts, out: &mut String) {
    for (i, selector) in selectors.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let found = selector
            .sources
            .iter()
            .find_map(|source| Some((source, source.value(facts)?)));
        match found {
            Some((source, value)) => source.append(&value, out),
            None => out.push_str(ABSENT),
        }
    }
}

fn append_address(text: &str, out: &mut String) {
    match address::parse(text) {
        Some(address) => address::append(address, out),
        None => {
            out.push('@');
            append_value(text, out);
        }
    }
}

fn append_value(value: &str, out: &mut String) {
    if value.len() <= MAX_READABLE && value.bytes().all(is_readable) {
        out.push_str(value);
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

#[cfg(test)]
pub(crate) mod tests;
