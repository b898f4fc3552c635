//! What a case expects of an exchange, as its file says it.

use std::collections::BTreeMap;

use portcullis_config::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::case_file::{OrNull, Texts};

/// What is to be seen of an exchange; no claim on what is left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Expectation {
    /// What the client gets.
    pub(super) response: Option<ResponseClaims>,
    /// What the upstream got last: `none`, or what it was.
    pub(super) upstream: Option<UpstreamExpectation>,
    /// Attempts that were made.
    pub(super) attempts: Option<u32>,
    /// What the policy has asked for after failed ones.
    pub(super) retries: Option<Vec<RetryClaims>>,
    /// What is shared at the end; null: nothing by that name.
    pub(super) shared: BTreeMap<String, OrNull<String>>,
    /// By how much series of the policy have grown: `name{label="value"}`, labels in the order of their names.
    pub(super) metrics: BTreeMap<String, f64>,
    /// A hook fails: a part of the message.
    pub(super) error: Option<String>,
}

/// Whether the upstream was asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum UpstreamExpectation {
    /// It was not.
    NotAsked(NotAsked),
    /// It was, so.
    Asked(Box<RequestClaims>),
}

/// The word for it.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotAsked {
    /// The upstream was not asked.
    None,
}

/// Claims on a response.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ResponseClaims {
    /// Its status.
    pub(super) status: Option<u16>,
    /// Its fields: one value, a list, or null for none.
    pub(super) headers: BTreeMap<String, OrNull<Texts>>,
    /// Its body.
    pub(super) body: Option<String>,
    /// Members that its body has, as JSON.
    pub(super) json: Option<Value>,
}

/// Claims on the request that the upstream got.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct RequestClaims {
    /// Name of the upstream.
    pub(super) name: Option<String>,
    /// Its method.
    pub(super) method: Option<String>,
    /// Its path with the query.
    pub(super) path: Option<String>,
    /// Its authority.
    pub(super) host: Option<String>,
    /// Its fields.
    pub(super) headers: BTreeMap<String, OrNull<Texts>>,
    /// Its body.
    pub(super) body: Option<String>,
    /// Members that its body has, as JSON.
    pub(super) json: Option<Value>,
}

/// Claims on a retry that was asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct RetryClaims {
    /// The wait before it: a duration, or the least and the most.
    pub(super) delay: Option<DelayClaim>,
    /// Whether it is to go to another endpoint.
    pub(super) other_endpoint: Option<bool>,
    /// The attempt's time.
    pub(super) timeout: Option<DurationText>,
}

/// A claim on a wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum DelayClaim {
    /// Exactly.
    Exact(DurationText),
    /// From the first to the second, both included.
    Between(DurationText, DurationText),
}
