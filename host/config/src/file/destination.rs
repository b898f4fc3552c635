//! The file format of where a route's requests go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// What one upstream gets of a split.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Share")]
pub(crate) struct ShareFile {
    /// A name under upstreams.
    pub(crate) upstream: Part<String>,
    /// Its part of the sum of all weights; 0 for none.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) weight: Part<u32>,
}
