//! The file format of where a route's requests go.

use std::collections::BTreeMap;

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

/// Another place for the client to go to. What is left out is the request's.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Redirect")]
pub(crate) struct RedirectFile {
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "default_redirect_status")]
    pub(crate) status: Part<u16>,
    /// http or https.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https")]
    pub(crate) scheme: Option<Part<String>>,
    /// A host with or without a port. Where only the scheme changes, the port of the request's goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"www.example.com")]
    pub(crate) host: Option<Part<String>>,
    /// In place of the whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: Option<Part<String>>,
    /// In place of the match's path_prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path_prefix: Option<Part<String>>,
    /// Whether the request's query goes along.
    #[serde(default = "default_keep_query")]
    pub(crate) keep_query: Part<bool>,
}

/// A response that is always the same.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "FixedResponse")]
pub(crate) struct FixedResponseFile {
    /// 200 to 599.
    #[serde(default = "default_status")]
    #[schemars(range(min = 200, max = 599))]
    pub(crate) status: Part<u16>,
    /// Header fields; values as in response_headers.
    #[serde(default)]
    pub(crate) headers: Part<BTreeMap<String, Part<String>>>,
    /// Text; text/plain unless headers say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Part<String>>,
    /// A file of up to 1MiB with the body, relative to the config file; application/octet-stream unless headers say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<Part<String>>,
}

fn default_redirect_status() -> Part<u16> {
    Part::Read(302)
}

fn default_status() -> Part<u16> {
    Part::Read(200)
}

fn default_keep_query() -> Part<bool> {
    Part::Read(true)
}
