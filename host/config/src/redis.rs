//! The validated Redis bindings: which servers, as whom, and what becomes of calls that they do not answer.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::upstream::{ClientCertificate, Endpoint};

/// Redis servers that policies may be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisBinding {
    /// Where calls go.
    pub servers: RedisServers,
    /// As whom. `None`: as the URL says, else as nobody.
    pub login: Option<RedisLogin>,
    /// The database's number; `None`: the URL's, else 0. Of a cluster always `None`.
    pub database: Option<u32>,
    /// Whether and how connections are secured: `Some` if the URL or the nodes are `rediss://`.
    pub tls: Option<RedisTls>,
    /// What one call of a policy may take, the wait for a connection included: 1 ms to 10 s, default 5 ms.
    pub deadline: Duration,
    /// What it may take to connect, TLS and login included, whoever waits for it: 10 ms to 10 s, default 1 s.
    pub connect_timeout: Duration,
    /// When calls are answered at once because servers do not answer.
    pub circuit: RedisCircuit,
}

impl RedisBinding {
    /// For a server nearby: a call takes well below 1 ms, so 5 ms means that something is wrong.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_millis(5);
    /// Of [`RedisBinding::connect_timeout`]: some round trips to a server far away.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
}

/// Where a binding's calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server: `redis://` or `rediss://[user:password@]host[:port][/database]`, or `unix:///path`; checked.
    Url(Secret),
    /// The master of that name, as Sentinels know it.
    Sentinel {
        /// Not empty, without white space.
        master: String,
        /// The Sentinels, at least one.
        nodes: Vec<Endpoint>,
        /// As whom the Sentinels are asked.
        login: Option<RedisLogin>,
    },
    /// A cluster, found through these nodes of it, at least one.
    Cluster(Vec<Endpoint>),
}

/// As whom a connection is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisLogin {
    /// A user of the server's ACL; `None`: its default user.
    pub username: Option<String>,
    /// Not empty.
    pub password: Secret,
}

/// How connections are secured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisTls {
    /// A PEM file of the authorities to trust. `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// What the gateway shows of itself. `None`: nothing.
    pub client_certificate: Option<ClientCertificate>,
}

/// When a binding's calls are answered at once, instead of waiting for servers that do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisCircuit {
    /// Failures in a row, within the window, that open it: 1 to 10,000, default 5. A failure is a call that was not
    /// answered in time, or that the server could not serve.
    pub failures: u32,
    /// 100 ms to 1 hour, default 10 s.
    pub window: Duration,
    /// While it is open, the longest time from one probe to the next: 10 ms to 1 minute, default 500 ms.
    pub probe_every: Duration,
}

impl Default for RedisCircuit {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(10),
            probe_every: Duration::from_millis(500),
        }
    }
}
