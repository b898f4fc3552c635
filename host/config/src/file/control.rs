//! The file format of the control API's listener.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::part::Part;

/// Serves the control API under /api/v1, to who has a token.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Control")]
pub(crate) struct ControlFile {
    /// IP address and port; one that only this machine reaches is best.
    #[schemars(example = "127.0.0.1:9901", regex(pattern = ":[0-9]{1,5}$"))]
    pub(crate) address: Part<String>,
    /// Where the tokens are, one of each role to a line; made at the first start.
    #[serde(default = "default_token_file")]
    #[schemars(length(min = 1))]
    pub(crate) token_file: Part<String>,
    /// Names, besides addresses and localhost, by which clients may call it (their Host field).
    #[serde(default)]
    pub(crate) hosts: Part<Vec<Part<String>>>,
}

fn default_token_file() -> Part<String> {
    Part::Read(Control::DEFAULT_TOKEN_FILE.to_owned())
}
