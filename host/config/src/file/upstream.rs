//! The file format of upstreams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CircuitFile, EndpointFile, HealthCheckFile, LoadBalancingFile, OutlierDetectionFile,
    RetryBudgetFile, duration,
};
use crate::part::Part;
use crate::units::DurationText;
use crate::upstream::{Protocol, Timeouts, Upstream};

/// A service behind the gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Upstream")]
pub(crate) struct UpstreamFile {
    /// Its addresses, all http://host:port or all https://host:port, or { url, weight } for one with more
    /// of the requests.
    #[schemars(length(min = 1))]
    pub(crate) endpoints: Part<Vec<Part<EndpointFile>>>,
    /// How an endpoint is chosen for a request.
    #[serde(default)]
    pub(crate) load_balancing: Part<LoadBalancingFile>,
    /// How long a new or recovered endpoint's share grows until it is whole: 0s to 1h.
    #[serde(default = "default_warm_up")]
    pub(crate) warm_up: Part<DurationText>,
    /// Percent of the endpoints; when fewer are available, all are used. 0: never.
    #[serde(default = "default_panic_threshold")]
    #[schemars(range(min = 0, max = 100))]
    pub(crate) panic_threshold: Part<u32>,
    /// How endpoints are asked whether they are well; not at all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check: Option<Part<HealthCheckFile>>,
    /// When an endpoint is left alone for what it answers; never if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outlier_detection: Option<Part<OutlierDetectionFile>>,
    /// What it is sent at the same time, by all workers together.
    #[serde(default)]
    pub(crate) circuit: Part<CircuitFile>,
    /// How many retries it is sent beside its requests.
    #[serde(default)]
    pub(crate) retry_budget: Part<RetryBudgetFile>,
    /// What is spoken to them: http1, or http2, which https:// endpoints must then offer and http://
    /// ones must speak at once.
    #[serde(default)]
    pub(crate) protocol: Part<Protocol>,
    /// How connections to https:// endpoints are secured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Part<UpstreamTlsFile>>,
    /// How long its steps may take: 1ms to 1h each, tunnel_idle to 24h.
    #[serde(default)]
    pub(crate) timeouts: Part<TimeoutsFile>,
    /// Unused connections that are kept, for each worker and endpoint.
    #[serde(default = "default_max_idle_connections")]
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) max_idle_connections: Part<usize>,
}

/// How connections to https:// endpoints are secured.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "UpstreamTls")]
pub(crate) struct UpstreamTlsFile {
    /// PEM file of the authorities to trust; those that the system trusts if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "upstream-ca.pem", length(min = 1))]
    pub(crate) ca: Option<Part<String>>,
    /// Name that the certificate must have, also sent as SNI; the endpoint's host if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "orders.internal", length(min = 1))]
    pub(crate) server_name: Option<Part<String>>,
    /// What the gateway shows of itself; nothing if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate: Option<Part<ClientCertificateFile>>,
    /// false takes any certificate: who can reach the connection can then read and change everything.
    pub(crate) verify: Part<bool>,
}

/// A certificate with its key.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ClientCertificate")]
pub(crate) struct ClientCertificateFile {
    /// PEM file: the certificate, then those between it and the authority.
    #[schemars(example = "gateway.pem", length(min = 1))]
    pub(crate) certificate: Part<String>,
    /// PEM file: the certificate's private key.
    #[schemars(example = "gateway-key.pem", length(min = 1))]
    pub(crate) key: Part<String>,
}

/// How long the steps towards an upstream may take.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Timeouts")]
pub(crate) struct TimeoutsFile {
    /// Until the connection stands.
    pub(crate) connect: Part<DurationText>,
    /// From the start of an attempt to the head of its response.
    pub(crate) attempt: Part<DurationText>,
    /// How long a pooled connection may stay unused.
    pub(crate) idle: Part<DurationText>,
    /// How long a tunnel, such as a WebSocket, may pass nothing in either direction.
    pub(crate) tunnel_idle: Part<DurationText>,
}

impl Default for UpstreamTlsFile {
    fn default() -> Self {
        Self {
            ca: None,
            server_name: None,
            client_certificate: None,
            verify: Part::Read(true),
        }
    }
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        let timeouts = Timeouts::default();
        Self {
            connect: duration(timeouts.connect),
            attempt: duration(timeouts.attempt),
            idle: duration(timeouts.idle),
            tunnel_idle: duration(timeouts.tunnel_idle),
        }
    }
}

fn default_warm_up() -> Part<DurationText> {
    duration(Upstream::DEFAULT_WARM_UP)
}

fn default_panic_threshold() -> Part<u32> {
    Part::Read(Upstream::DEFAULT_PANIC_THRESHOLD)
}

fn default_max_idle_connections() -> Part<usize> {
    Part::Read(Upstream::DEFAULT_MAX_IDLE_CONNECTIONS)
}
