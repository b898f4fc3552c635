//! The file format of mirrors.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::part::Part;
use crate::units::{DurationText, SizeText};

/// Copies of requests for a second upstream, whose answers nobody sees.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Mirror")]
pub(crate) struct MirrorFile {
    /// A name under upstreams.
    pub(crate) upstream: Part<String>,
    /// Of a hundred requests, how many are copied.
    #[serde(default = "default_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) percent: Part<u32>,
    /// From the end of the request's body to the head of the answer: 1ms to 1h.
    #[serde(default = "default_timeout")]
    pub(crate) timeout: Part<DurationText>,
    /// A request with a longer body is not copied: up to 16MiB.
    #[serde(default = "default_max_body")]
    pub(crate) max_body: Part<SizeText>,
    /// Copies under way in the process, beyond which requests are not copied.
    #[serde(default = "default_max_in_flight")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_in_flight: Part<usize>,
}

fn default_percent() -> Part<u32> {
    Part::Read(100)
}

fn default_timeout() -> Part<DurationText> {
    duration(Duration::from_secs(5))
}

fn default_max_body() -> Part<SizeText> {
    Part::Read(SizeText(64 << 10))
}

fn default_max_in_flight() -> Part<usize> {
    Part::Read(100)
}
