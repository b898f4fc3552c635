//! The validated telemetry that is sent out: where the collector is, and what it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::upstream::{Endpoint, UpstreamTls};

/// A collector that takes OTLP (OpenTelemetry Protocol 1.x), and who the gateway says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// With [`OtlpProtocol::Http`] the beginning of the path, without a `/` at its end; else empty.
    pub path: String,
    /// What it speaks.
    pub protocol: OtlpProtocol,
    /// How the connection is secured; `None` for `http://`.
    pub tls: Option<UpstreamTls>,
    /// Sent with every export, sorted by name; values are checked to be header values.
    pub headers: Vec<(HeaderName, Secret)>,
    /// What one export may take, connecting included: 10 ms to 1 minute, default 5 s.
    pub timeout: Duration,
    /// `service.name`, not empty; default `portcullis`.
    pub service_name: String,
    /// Further attributes of the resource, by name. Default none.
    pub resource: BTreeMap<String, String>,
}

impl Otlp {
    /// Of [`Otlp::service_name`].
    pub const DEFAULT_SERVICE_NAME: &'static str = "portcullis";
    /// Of [`Otlp::timeout`].
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
}

/// What a collector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP/gRPC: port 4317 if none is written.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf: port 4318 if none is written.
    Http,
}

impl OtlpProtocol {
    /// The port that the specification assigns.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::Http => 4318,
        }
    }
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracing {
    /// Share of the requests for which the gateway decides itself: 0 to 1, default 0.01.
    pub sample: f64,
    /// Whose decision is followed instead.
    pub follow: Follow,
}

impl Tracing {
    /// Of [`Tracing::sample`].
    pub const DEFAULT_SAMPLE: f64 = 0.01;
}

/// Whose sampled flag (W3C Trace Context §3.2.2.5) is followed. Traces are continued whoever began them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// That of peers in `trusted_proxies`.
    #[default]
    TrustedProxies,
    /// Everybody's: clients decide how much is traced.
    Everyone,
    /// Nobody's.
    Nobody,
}
