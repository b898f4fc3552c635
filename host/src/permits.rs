//! How many connections and requests clients may have: counted for the whole process, across workers.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use portcullis_config::ClientLimits;

/// What clients hold at present.
#[derive(Default)]
pub struct Permits {
    connections: AtomicUsize,
    requests: AtomicUsize,
    clients: DashMap<IpAddr, usize>,
}

/// Which bound a connection would exceed; named as in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// `limits.connections`.
    Connections,
    /// `limits.connections_per_client`.
    ConnectionsPerClient,
}

/// One connection's place; given back when dropped.
pub struct ConnectionPermit {
    permits: Arc<Permits>,
    client: Option<IpAddr>,
}

impl Permits {
    /// A place for a connection of `address`. Each is counted, also while there is no bound, so that
    /// one that a reload sets holds at once; by client only where there is one.
    pub fn connect(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &ClientLimits,
    ) -> Result<ConnectionPermit, Full> {
        let open = self.connections.fetch_add(1, Ordering::Relaxed);
        // From here on dropping it gives the place back.
        let mut permit = ConnectionPermit {
            permits: self.clone(),
            client: None,
        };
        if limits.connections > 0 && open >= limits.connections {
            return Err(Full::Connections);
        }
        if limits.connections_per_client > 0 {
            let client = client_of(address);
            let mut open = self.clients.entry(client).or_insert(0);
            if *open >= limits.connections_per_client {
                return Err(Full::ConnectionsPerClient);
            }
            *open += 1;
            drop(open);
            permit.client = Some(client);
        }
        Ok(permit)
    }

    /// A place for a request among `limit`, to be given back by [`Permits::leave`].
    pub fn enter(&self, limit: usize) -> bool {
        let entered = self.requests.fetch_add(1, Ordering::Relaxed) < limit;
        if !entered {
            self.leave();
        }
        entered
    }

    /// Gives back a request's place.
    pub fn leave(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.permits.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.permits.clients.remove_if_mut(&client, |_, open| {
                *open = open.saturating_sub(1);
                *open == 0
            });
        }
    }
}

impl Full {
    /// The config's key.
    pub fn name(self) -> &'static str {
        match self {
            Full::Connections => "connections",
            Full::ConnectionsPerClient => "connections_per_client",
        }
    }
}

/// Who counts as one client. An IPv6 user has a network of 64 bits (RFC 6177), and could come from
/// each address of it.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_client: usize) -> ClientLimits {
        ClientLimits {
            connections,
            connections_per_client,
            ..ClientLimits::default()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_bounded_in_all_and_by_client() {
        let permits = Arc::<Permits>::default();
        let limits = limits(3, 2);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = permits.connect(one, &limits).unwrap();
        let _second = permits.connect(one, &limits).unwrap();
        assert_eq!(
            permits.connect(one, &limits).err(),
            Some(Full::ConnectionsPerClient)
        );
        let _third = permits.connect(other, &limits).unwrap();
        assert_eq!(
            permits.connect(other, &limits).err(),
            Some(Full::Connections)
        );
        drop(first);
        let _again = permits.connect(one, &limits).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_gone() {
        let permits = Arc::<Permits>::default();
        for _ in 0..3 {
            let permit = permits.connect(address("192.0.2.1"), &limits(1, 1));
            assert!(permit.is_ok());
        }
        assert!(permits.clients.is_empty());
        assert_eq!(permits.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn zero_is_no_bound() {
        let permits = Arc::<Permits>::default();
        let limits = limits(0, 0);
        let all: Vec<_> = (0..100)
            .map(|_| permits.connect(address("::1"), &limits))
            .collect();
        assert!(all.iter().all(Result::is_ok));
    }

    #[test]
    fn requests_are_bounded() {
        let permits = Permits::default();
        assert!(permits.enter(2) && permits.enter(2));
        assert!(!permits.enter(2));
        permits.leave();
        assert!(permits.enter(2));
    }

    #[test]
    fn addresses_of_one_client_are_one() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ];
        for (given, client) in table {
            assert_eq!(client_of(address(given)), address(client), "{given}");
        }
    }
}
