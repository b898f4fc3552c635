//! Addresses as keys and lists see them: IPv4 that is mapped into IPv6 is IPv4.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Reads an address, with or without a zone or a port.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let without_zone = text.split('%').next().unwrap_or(text);
    let address: IpAddr = without_zone
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// Appends what stands for an address in a key. A /64 is what one subscriber gets (RFC 6177), so its hosts
/// share a key.
pub(crate) fn append(address: IpAddr, out: &mut String) {
    // Writing to a string can't fail.
    match address {
        IpAddr::V4(v4) => write!(out, "@{v4}").unwrap_or_default(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            write!(out, "@{a:x}:{b:x}:{c:x}:{d:x}").unwrap_or_default();
        }
    }
}

/// Reads a network such as `10.0.0.0/8`, or a single address.
pub(crate) fn parse_network(text: &str) -> Option<IpNet> {
    let network = text
        .parse()
        .ok()
        .or_else(|| Some(IpNet::from(parse_plain(text)?)))?;
    Some(match network {
        // Callers' addresses are brought to IPv4, so a mapped network must be, too.
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).ok()?,
            None => network,
        },
        _ => network,
    })
}

fn parse_plain(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        let mut out = String::new();
        append(parse(text)?, &mut out);
        Some(out)
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
        ] {
            assert_eq!(key(address).as_deref(), Some(expected), "{address}");
        }
        assert_eq!(key("unix"), None);
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "::ffff:10.9.9.9", "9.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let net = parse_network(network).unwrap();
            assert!(net.contains(&parse(inside).unwrap()), "{network}");
            assert!(!net.contains(&parse(outside).unwrap()), "{network}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "::/129",
            "example.com",
            "10.0.0.1:80",
        ] {
            assert_eq!(parse_network(text), None, "{text}");
        }
    }
}
