//! The file format of the log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::log::{LogFilter, LogFormat};
use crate::part::Part;

/// The gateway's own log, on standard error.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Log")]
pub(crate) struct LogFile {
    /// How lines look.
    pub(crate) format: Part<LogFormat>,
    /// The least level that is written, for all and for modules, with commas between them; RUST_LOG in the environment
    /// and `portcullis log` go before it.
    #[schemars(example = &"warn,portcullis=info,policy=debug")]
    pub(crate) filter: Part<String>,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            format: Part::Read(LogFormat::default()),
            filter: Part::Read(LogFilter::default().to_string()),
        }
    }
}
