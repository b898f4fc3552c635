//! The validated upstreams: where a service is, and how it is spoken to.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancing::{LoadBalancing, WeightedEndpoint};
use crate::resilience::{Circuit, HealthCheck, OutlierDetection, RetryBudget};

/// A service behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// At least one, all different.
    pub endpoints: Vec<WeightedEndpoint>,
    /// How an endpoint is chosen for a request.
    pub load_balancing: LoadBalancing,
    /// How long the share of a new or recovered endpoint grows until it is whole: 0 (off, the default)
    /// to 1 hour. Not for hashing, where a share that grows would move keys twice.
    pub warm_up: Duration,
    /// Percent of the endpoints, 0 to 100, default 50; when fewer are available, all are used, since the
    /// rest would break down under the load of all. 0: never.
    pub panic_threshold: u32,
    /// How endpoints are asked whether they are well. `None`: not at all.
    pub health_check: Option<HealthCheck>,
    /// When an endpoint is left alone for what it answers. `None`: never.
    pub outlier_detection: Option<OutlierDetection>,
    /// What it is sent at the same time.
    pub circuit: Circuit,
    /// How many retries it is sent.
    pub retry_budget: RetryBudget,
    /// What is spoken to them, default HTTP/1.1.
    pub protocol: Protocol,
    /// How the connections are secured; `None` for `http://` endpoints.
    pub tls: Option<UpstreamTls>,
    /// How long its steps may take.
    pub timeouts: Timeouts,
    /// Unused connections that are kept for each worker and endpoint: 0 to 10,000, default 64.
    pub max_idle_connections: usize,
}

impl Upstream {
    /// Of [`Upstream::panic_threshold`].
    pub const DEFAULT_PANIC_THRESHOLD: u32 = 50;
    /// Of [`Upstream::warm_up`].
    pub const DEFAULT_WARM_UP: Duration = Duration::ZERO;
    /// Enough for a worker with 64 requests in flight to one endpoint not to reconnect.
    pub const DEFAULT_MAX_IDLE_CONNECTIONS: usize = 64;
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: agreed on by ALPN with `https://` endpoints, which must take it; by prior knowledge
    /// with `http://` ones (RFC 9113 §3.3).
    Http2,
}

/// How connections to `https://` endpoints are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// A PEM file of the authorities to trust. `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The name that the certificate must have, and that is sent as SNI, in lower case. `None`: the
    /// endpoint's host.
    pub server_name: Option<String>,
    /// What the gateway shows of itself. `None`: nothing.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether the endpoint's certificate is checked, default yes.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            ca: None,
            server_name: None,
            client_certificate: None,
            verify: true,
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file: the certificate, then those between it and the authority.
    pub certificate: PathBuf,
    /// A PEM file: the certificate's private key.
    pub key: PathBuf,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A DNS name in lower case or an IP address; IPv6 without brackets.
    pub host: String,
    /// 1 to 65535; when the file names none, 80 for `http://` and 443 for `https://`.
    pub port: u16,
}

impl Endpoint {
    /// `host:port`, with brackets around IPv6: for a URI, a `Host` field or a metric's label.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// How long the steps towards an upstream may take. Each is 1 ms to 1 hour, `tunnel_idle` to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, default 1 s.
    pub connect: Duration,
    /// From the start of an attempt to the head of its response, default 15 s.
    pub attempt: Duration,
    /// How long a pooled connection may stay unused, default 60 s.
    pub idle: Duration,
    /// How long a tunnel, such as a WebSocket, may pass nothing in either direction, default 1 hour.
    pub tunnel_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempt: Duration::from_secs(15),
            idle: Duration::from_mins(1),
            tunnel_idle: Duration::from_hours(1),
        }
    }
}
