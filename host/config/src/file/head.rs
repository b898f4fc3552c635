//! The file format of what concerns every request's head.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::path_normalisation::{EncodedSlashes, PathNormalisation};

/// How a request's path is brought to one spelling before routes, policies and upstreams see it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "PathNormalisation")]
pub(crate) struct PathNormalisationFile {
    /// Whether // becomes /.
    pub(crate) merge_slashes: Part<bool>,
    /// What becomes of %2F and %5C.
    pub(crate) encoded_slashes: Part<EncodedSlashes>,
}

impl Default for PathNormalisationFile {
    fn default() -> Self {
        let PathNormalisation {
            merge_slashes,
            encoded_slashes,
        } = PathNormalisation::default();
        Self {
            merge_slashes: Part::Read(merge_slashes),
            encoded_slashes: Part::Read(encoded_slashes),
        }
    }
}
