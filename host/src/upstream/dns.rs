//! Host names → addresses: name servers, `/etc/hosts` and `localhost`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use portcullis_config::Dns;

/// How often one name server is asked before the lookup fails, and how long each time.
const ATTEMPTS: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long an entry of `/etc/hosts` is taken to hold: reading the file again costs little.
const HOSTS_VALID: Duration = Duration::from_secs(10);

/// Looks names up. A copy is cheap.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

/// What a lookup has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// At least one; sorted, each once, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How long that holds.
    pub valid_for: Duration,
}

/// The name has no address, or nobody says which.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LookupError(String);

impl Resolver {
    /// A resolver that asks those servers, or those of the system. `/etc/hosts` comes first.
    pub fn new(dns: &Dns) -> Result<Self, LookupError> {
        let failed = |error: NetError| LookupError(error.to_string());
        let asking = |servers| {
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = if dns.servers.is_empty() {
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!("the system names no name servers: {error}");
                asking(Vec::new())
            })
        } else {
            asking(dns.servers.iter().map(name_server).collect())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.attempts = ATTEMPTS;
        options.timeout = TIMEOUT;
        // Ours to read: a name that is there for one kind of address only is not to be asked for beyond.
        options.use_hosts_file = ResolveHosts::Never;
        // Whoever asks keeps the answer as long as it holds, and then wants another.
        options.cache_size = 0;
        builder.build().map(Self).map_err(failed)
    }

    /// The addresses of `host`, which may be an address itself.
    pub async fn lookup(&self, host: &str) -> Result<Found, LookupError> {
        let known = in_hosts_file(host);
        if !known.is_empty() {
            return Ok(Found::new(known, HOSTS_VALID));
        }
        let found = self.0.lookup_ip(host).await;
        let found = found.map_err(|error| LookupError(error.to_string()))?;
        let valid_for = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(LookupError("the name has no address".to_owned()));
        }
        Ok(Found::new(addresses, valid_for))
    }
}

impl Found {
    fn new(mut addresses: Vec<IpAddr>, valid_for: Duration) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            addresses: usable(addresses, has_route),
            valid_for,
        }
    }
}

/// What `/etc/hosts` says now.
fn in_hosts_file(host: &str) -> Vec<IpAddr> {
    let (Ok(hosts), Ok(name)) = (Hosts::from_system(), Name::from_utf8(host)) else {
        return Vec::new();
    };
    let found = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| {
            let found = hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
            let addresses = found
                .answers()
                .iter()
                .filter_map(|record| record.data.ip_addr());
            Some(addresses.collect::<Vec<_>>())
        });
    found.flatten().collect()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// Those to which a way leads, or all if there is none: on a machine without IPv6, every second
/// attempt at a service that has both would fail (RFC 6724 §6, rule 1: avoid unusable destinations).
fn usable(addresses: Vec<IpAddr>, has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let usable: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|address| has_route(*address))
        .collect();
    if usable.is_empty() { addresses } else { usable }
}

/// Asks the kernel; nothing is sent.
fn has_route(address: IpAddr) -> bool {
    const DISCARD: u16 = 9;
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((address, DISCARD)))
        .is_ok()
}

/// The endpoints that a name's addresses make: each of them one, but those of `localhost`
/// (RFC 6761 §6.3) one together, since a service seldom listens on both.
pub fn endpoints(host: &str, addresses: &[IpAddr], port: u16) -> Vec<Vec<SocketAddr>> {
    let sockets = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
    if host == "localhost" || host.ends_with(".localhost") {
        vec![sockets.collect()]
    } else {
        sockets.map(|socket| vec![socket]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_without_a_way_are_left_out_unless_they_are_all() {
        let both = ips(&["10.0.0.1", "2001:db8::1"]);
        assert_eq!(usable(both.clone(), |ip| ip.is_ipv4()), ips(&["10.0.0.1"]));
        assert_eq!(usable(both.clone(), |_| false), both);
        assert_eq!(usable(both.clone(), |_| true), both);
        assert!(has_route(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn each_address_is_an_endpoint_but_for_localhost() {
        let both = ips(&["127.0.0.1", "::1"]);
        let sockets: Vec<SocketAddr> =
            vec!["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
        for (host, expected) in [
            ("a.test", vec![vec![sockets[0]], vec![sockets[1]]]),
            ("localhost", vec![sockets.clone()]),
            ("a.localhost", vec![sockets.clone()]),
            ("notlocalhost", vec![vec![sockets[0]], vec![sockets[1]]]),
        ] {
            assert_eq!(endpoints(host, &both, 80), expected, "{host}");
        }
    }

    #[tokio::test]
    async fn localhost_is_known_without_a_server() {
        let servers = vec!["127.0.0.1:9".parse().unwrap()];
        let resolver = Resolver::new(&Dns { servers }).unwrap();
        let found = resolver.lookup("localhost").await.unwrap();
        assert!(found.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
    }
}
