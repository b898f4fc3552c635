//! The file format of upstreams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CircuitFile, EndpointFile, HealthCheckFile, LoadBalancingFile, OutlierDetectionFile,
    RetryBudgetFile, duration,
};
use crate::part::Part;
use crate::units::DurationText;
use crate::upstream::{Timeouts, Upstream};

/// A service behind the gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Upstream")]
pub(crate) struct UpstreamFile {
    /// Its addresses, http://host:port, or { url, weight } for one with more of the requests.
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
    /// How long its steps may take: 1ms to 1h each.
    #[serde(default)]
    pub(crate) timeouts: Part<TimeoutsFile>,
    /// Unused connections that are kept, for each worker and endpoint.
    #[serde(default = "default_max_idle_connections")]
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) max_idle_connections: Part<usize>,
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
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        let timeouts = Timeouts::default();
        Self {
            connect: duration(timeouts.connect),
            attempt: duration(timeouts.attempt),
            idle: duration(timeouts.idle),
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
