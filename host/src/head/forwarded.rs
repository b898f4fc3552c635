//! What the upstream is told of the client, and whose word on it is taken.
//!
//! A peer outside `trusted_proxies` speaks for itself alone: what it says of others is replaced. One of
//! them has its `X-Forwarded-For` continued, its `X-Forwarded-Proto`, `-Host` and further
//! `X-Forwarded-*` kept, and a `Forwarded` (RFC 7239) continued if it sent one.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::{Origin, REQUEST_ID, fields};
use crate::client::Client;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Characters of a request id that is taken over; a UUID has 36.
const MAX_ID: usize = 128;

/// Sets the fields that tell of the client, and finds out who that is.
pub(super) fn tell_of_client(
    headers: &mut HeaderMap,
    client: &Client,
    trusted: &[IpNet],
    id: &mut String,
) -> Origin {
    let is_trusted = is_trusted(trusted, client);
    fields::remove_claims(headers, is_trusted);
    let origin = if is_trusted {
        take_over_id(headers, id);
        continue_chain(headers, client, trusted)
    } else {
        headers.insert(FORWARDED_FOR, client.forwarded_for.clone());
        Origin {
            address: client.address,
            scheme: client.scheme,
        }
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(origin.scheme));
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    origin
}

/// Whether the peer may speak for others.
pub(super) fn is_trusted(trusted: &[IpNet], client: &Client) -> bool {
    !trusted.is_empty() && is_within(trusted, client.address.ip())
}

fn take_over_id(headers: &HeaderMap, id: &mut String) {
    let mut given = headers.get_all(REQUEST_ID).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return;
    };
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    if let Ok(text) = given.to_str()
        && (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(is_id_byte)
    {
        text.clone_into(id);
    }
}

/// Adds the peer to those that the proxies before it have named.
fn continue_chain(headers: &mut HeaderMap, client: &Client, trusted: &[IpNet]) -> Origin {
    let chain = joined(headers, &FORWARDED_FOR);
    let peer = client.address.ip().to_canonical();
    let continued = match chain.as_str() {
        "" => Ok(client.forwarded_for.clone()),
        chain => HeaderValue::try_from(format!("{chain}, {peer}")),
    };
    // A chain of visible text and an address are visible text.
    if let Ok(value) = continued {
        headers.insert(FORWARDED_FOR, value);
    }
    if headers.contains_key(FORWARDED)
        && let Ok(value) = HeaderValue::try_from(forwarded_element(peer, client.scheme))
    {
        // A map that is full stays as it is: its receiver refuses a head of 32,768 fields.
        let _ = headers.try_append(FORWARDED, value);
    }
    if headers.get_all(FORWARDED_HOST).iter().count() > 1 {
        headers.remove(FORWARDED_HOST);
    }
    Origin {
        address: right_most_untrusted(&chain, client.address, trusted),
        scheme: forwarded_scheme(headers).unwrap_or(client.scheme),
    }
}

/// The field's lines as one list (RFC 9110 §5.3); a line that is not visible text says nothing.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    lines.join(", ")
}

/// RFC 7239 §4, §6: an IPv6 address is quoted and in brackets.
fn forwarded_element(peer: IpAddr, scheme: &str) -> String {
    match peer {
        IpAddr::V4(peer) => format!("for={peer};proto={scheme}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto={scheme}"),
    }
}

/// Which client a chain of trusted proxies speaks for: each proxy has written the peer that it saw at
/// the right, so the first from there that is not trusted is the client, and what stands left of it
/// is only its word.
fn right_most_untrusted(chain: &str, peer: SocketAddr, trusted: &[IpNet]) -> SocketAddr {
    let mut client = peer;
    for hop in chain.rsplit(',').filter_map(|hop| match hop.trim() {
        "" => None,
        hop => Some(hop),
    }) {
        // What is no address ends what can be known.
        let Some(address) = hop_address(hop) else {
            break;
        };
        client = address;
        if !is_within(trusted, client.ip()) {
            break;
        }
    }
    client
}

/// An address with or without a port; 0 stands for a port that is not known.
fn hop_address(hop: &str) -> Option<SocketAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let ip = bare.unwrap_or(hop).parse::<IpAddr>();
    ip.map(|ip| SocketAddr::new(ip, 0)).or(hop.parse()).ok()
}

/// An IPv4 address in IPv6's clothes is that IPv4 address.
fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

fn forwarded_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let mut values = headers.get_all(FORWARDED_PROTO).iter();
    match (values.next()?.as_bytes(), values.next()) {
        (b"https", None) => Some("https"),
        (b"http", None) => Some("http"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (chain, client) in [
            ("", "10.0.0.1:5000"),
            ("203.0.113.9", "203.0.113.9:0"),
            ("1.1.1.1, 203.0.113.9", "203.0.113.9:0"),
            ("1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9:0"),
            ("1.1.1.1,203.0.113.9:1234 ,, fd00::1", "203.0.113.9:1234"),
            ("[2001:db8::1]:80, [fd00::1]", "[2001:db8::1]:80"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
            ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2:0"),
            ("203.0.113.9, _hidden", "10.0.0.1:5000"),
            ("::ffff:10.0.0.2", "[::ffff:10.0.0.2]:0"),
        ] {
            let found = right_most_untrusted(chain, "10.0.0.1:5000".parse().unwrap(), &trusted);
            assert_eq!(found, client.parse().unwrap(), "{chain}");
        }
    }

    #[test]
    fn an_ipv6_peer_is_quoted_in_forwarded() {
        let element = forwarded_element("2001:db8::1".parse().unwrap(), "https");
        assert_eq!(element, "for=\"[2001:db8::1]\";proto=https");
    }
}
