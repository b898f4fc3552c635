//! The file format of the access log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access_log::AccessLog;
use crate::part::Part;

/// A line of JSON for each request that has ended.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "AccessLog")]
pub(crate) struct AccessLogFile {
    /// stdout, stderr, or a file, relative to this one; SIGHUP opens it anew.
    #[schemars(length(min = 1), example = &"stdout")]
    pub(crate) path: Part<String>,
    /// Share of the requests that are logged: 0 to 1.
    #[serde(default = "default_sample")]
    #[schemars(range(min = 0, max = 1))]
    pub(crate) sample: Part<f64>,
    /// Header fields of requests to log, by name.
    #[serde(default)]
    pub(crate) headers: Part<Vec<Part<String>>>,
    /// Query parameters and header fields whose values are not shown, besides the usual ones such as
    /// token, password and authorization.
    #[serde(default)]
    pub(crate) redact: Part<Vec<Part<String>>>,
}

fn default_sample() -> Part<f64> {
    Part::Read(AccessLog::DEFAULT_SAMPLE)
}
