//! The file format of upstreams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::part::Part;
use crate::units::DurationText;
use crate::upstream::{Timeouts, Upstream};

/// A service behind the gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Upstream")]
pub(crate) struct UpstreamFile {
    /// Its addresses, http://host:port.
    #[schemars(length(min = 1), inner(regex(pattern = "^http://[^/?#@]+/?$")))]
    pub(crate) endpoints: Part<Vec<Part<String>>>,
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

fn default_max_idle_connections() -> Part<usize> {
    Part::Read(Upstream::DEFAULT_MAX_IDLE_CONNECTIONS)
}
