//! The file format of the policy store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::policy_store::PolicyStore;

/// Keeps versions of policies, so that they can be pushed to the running gateway and rolled back.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PolicyStore")]
pub(crate) struct PolicyStoreFile {
    /// The directory of the store, relative to the config file; made if it is missing, and the gateway's alone.
    #[schemars(length(min = 1))]
    pub(crate) directory: Part<String>,
    /// A directory of yours, relative to the config file: a file NAME.wasm in it becomes the active version of NAME.
    #[schemars(length(min = 1))]
    pub(crate) watch: Option<Part<String>>,
    /// Versions of one policy that are kept. The oldest go; the active one and the one before it never do.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 2, max = 1000))]
    pub(crate) keep: Part<u16>,
}

fn default_keep() -> Part<u16> {
    Part::Read(PolicyStore::DEFAULT_KEEP)
}
