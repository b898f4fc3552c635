//! The file format of listeners.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::{Name, Part};

/// A socket that accepts requests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Listener")]
pub(crate) struct ListenerFile {
    /// Unique among the listeners.
    pub(crate) name: Part<Name>,
    /// IP address and port; 0.0.0.0 or [::] for all interfaces.
    #[schemars(example = "0.0.0.0:8080", regex(pattern = ":[0-9]{1,5}$"))]
    pub(crate) address: Part<String>,
}
