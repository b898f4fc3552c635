//! Sets of IP addresses as configs write them: addresses and networks.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The prefix of IPv4-mapped IPv6 addresses, `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// IP addresses, named by themselves or by their networks. A look-up is a binary search, whatever the number of
/// networks; neighbours and what lies in another network are joined.
///
/// An IPv4-mapped IPv6 address is its IPv4 address, so an IPv4 client is never in an IPv6 network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// Disjoint, in order.
    v4: Vec<Ipv4Net>,
    /// Disjoint, in order.
    v6: Vec<Ipv6Net>,
}

impl AddressSet {
    /// Reads addresses and networks in CIDR notation (RFC 4632), such as `192.0.2.7`, `10.0.0.0/8` and `2001:db8::/32`.
    ///
    /// # Errors
    ///
    /// All texts that are neither, each by its place with a message: also a network with bits beyond its prefix,
    /// since it is not clear what was meant.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Vec<(usize, String)>> {
        let (mut v4, mut v6, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (place, text) in texts.into_iter().enumerate() {
            match network(text) {
                Ok(IpNet::V4(network)) => v4.push(network),
                Ok(IpNet::V6(network)) => v6.push(network),
                Err(message) => errors.push((place, message)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            v4: Ipv4Net::aggregate(&v4),
            v6: Ipv6Net::aggregate(&v6),
        })
    }

    /// Whether the address is one of the set's.
    pub fn contains(&self, address: IpAddr) -> bool {
        // Of disjoint networks in order, only the last one that begins at the address or before can hold it.
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let after = self
                    .v4
                    .partition_point(|network| network.network() <= address);
                after > 0 && self.v4[after - 1].contains(&address)
            }
            IpAddr::V6(address) => {
                let after = self
                    .v6
                    .partition_point(|network| network.network() <= address);
                after > 0 && self.v6[after - 1].contains(&address)
            }
        }
    }

    /// Whether no address is in it.
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("{text:?} is no address and no network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")
        })?,
    };
    if network.addr() != network.network() {
        return Err(format!(
            "{text} has bits beyond its prefix: write {} for the network, or {} for the address",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(unmapped(network))
}

fn unmapped(network: IpNet) -> IpNet {
    let mapped = |v6: Ipv6Net| -> Option<Ipv4Net> {
        let address: Ipv4Addr = v6.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, v6.prefix_len().checked_sub(MAPPED_PREFIX)?).ok()
    };
    match network {
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> AddressSet {
        AddressSet::parse(texts.iter().copied()).expect("a sound list")
    }

    fn holds(set: &AddressSet, address: &str) -> bool {
        set.contains(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_are_found_in_networks_of_both_families() {
        let set = set(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
        for address in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8::",
            "2001:db8:ffff::1",
            "::1",
        ] {
            assert!(holds(&set, address), "{address}");
        }
        for address in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "2001:db7:ffff::",
            "2001:db9::",
            "::2",
        ] {
            assert!(!holds(&set, address), "{address}");
        }
        assert!(!holds(&AddressSet::default(), "192.0.2.1"));
        assert!(AddressSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn mapped_addresses_are_ipv4_on_both_sides() {
        assert!(holds(&set(&["192.0.2.0/24"]), "::ffff:192.0.2.9"));
        assert!(holds(&set(&["::ffff:192.0.2.0/120"]), "192.0.2.9"));
        assert!(holds(&set(&["::ffff:192.0.2.9"]), "192.0.2.9"));
        assert!(!holds(&set(&["::/0"]), "192.0.2.9"));
        assert!(holds(&set(&["::/0"]), "2001:db8::1"));
        assert!(holds(&set(&["0.0.0.0/0"]), "192.0.2.9"));
    }

    #[test]
    fn nested_and_neighbouring_networks_hold_what_each_holds() {
        let set = set(&[
            "10.1.0.0/16",
            "10.0.0.0/8",
            "10.1.2.3",
            "11.0.0.0/8",
            "13.0.0.0/8",
        ]);
        for (address, expected) in [
            ("10.200.0.1", true),
            ("10.1.2.3", true),
            ("11.0.0.1", true),
            ("12.0.0.1", false),
            ("13.0.0.1", true),
        ] {
            assert_eq!(holds(&set, address), expected, "{address}");
        }
    }

    #[test]
    fn what_is_no_network_is_named_with_its_place() {
        let errors =
            AddressSet::parse(["10.0.0.0/8", "example.com", "10.0.0.1/8", "10.0.0.0/33", ""])
                .expect_err("four are none");
        let places: Vec<usize> = errors.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [1, 2, 3, 4]);
        assert!(
            errors[1]
                .1
                .contains("write 10.0.0.0/8 for the network, or 10.0.0.1"),
            "{errors:?}"
        );
    }
}
