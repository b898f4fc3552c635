//! The file format of what a route changes of a head.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// Header fields that a route changes: first remove, then set, then append. Values may hold {client.address}, {request.id}, {route} and {upstream}; {{ is a brace.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "FieldEdits")]
pub(crate) struct FieldEditsFile {
    /// In place of all values that are there.
    pub(crate) set: Part<BTreeMap<String, Part<String>>>,
    /// After the values that are there.
    pub(crate) append: Part<BTreeMap<String, Part<String>>>,
    /// All values of these fields.
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) remove: Part<Vec<Part<String>>>,
}
