//! The file format of routes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ConditionFile, FieldEditsFile, FixedResponseFile, HashFile, MirrorFile, RedirectFile,
    RouteLimitsFile, ShareFile, duration,
};
use crate::part::{Name, Part};
use crate::route::{OnFailure, Route};
use crate::units::{DurationText, SizeText};

/// Requests of one kind, their upstream and their policies.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Route")]
pub(crate) struct RouteFile {
    /// Unique among the routes.
    pub(crate) name: Part<Name>,
    /// Which requests it takes; all if left out.
    #[serde(default, rename = "match")]
    pub(crate) matches: Part<MatchFile>,
    /// What becomes of the path on the way to the upstream.
    #[serde(default)]
    pub(crate) rewrite: Part<RewriteFile>,
    /// A name under upstreams. A route has one of this, split, redirect and respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<Part<String>>,
    /// Upstreams that share the requests by weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(crate) split: Option<Part<Vec<Part<ShareFile>>>>,
    /// What keeps a client at its upstream of the split: client_address, { header: name } or { cookie: name }.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<Part<HashFile>>,
    /// Answers with another place to go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redirect: Option<Part<RedirectFile>>,
    /// Answers with a response that is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) respond: Option<Part<FixedResponseFile>>,
    /// A second upstream that gets copies of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mirror: Option<Part<MirrorFile>>,
    /// What changes of the request's head on the way to the upstream, after the policies.
    #[serde(default)]
    pub(crate) request_headers: Part<FieldEditsFile>,
    /// What changes of the response's head on the way to the client, after the policies, whoever made the response.
    #[serde(default)]
    pub(crate) response_headers: Part<FieldEditsFile>,
    /// The whole request, retries included: 1ms to 1h.
    #[serde(default = "default_route_deadline")]
    pub(crate) deadline: Part<DurationText>,
    /// What is different on this route of what clients may take.
    #[serde(default)]
    pub(crate) limits: Part<RouteLimitsFile>,
    /// Attempts that a policy may ask for, the first included.
    #[serde(default = "default_max_attempts")]
    #[schemars(range(min = 1, max = 20))]
    pub(crate) max_attempts: Part<u32>,
    /// Whether a request whose method is not idempotent may be sent again.
    #[serde(default)]
    pub(crate) retry_non_idempotent: Part<bool>,
    /// The longest Retry-After that is waited for when a policy retries: 0s to 1h.
    #[serde(default = "default_max_retry_after")]
    pub(crate) max_retry_after: Part<DurationText>,
    /// How much of a request's body is kept so that it can be sent again: 0B to 16MiB.
    #[serde(default = "default_replay_buffer")]
    pub(crate) replay_buffer: Part<SizeText>,
    /// Protocols that a connection may switch to, as a request's Upgrade field names them; "*" for any.
    #[serde(default = "default_upgrades")]
    #[schemars(inner(length(min = 1)), extend("uniqueItems" = true))]
    pub(crate) upgrades: Part<Vec<Part<String>>>,
    /// Asked first to last on the request, last to first on the response.
    #[serde(default)]
    pub(crate) policies: Part<Vec<Part<PolicyUseFile>>>,
}

/// What a request must have for a route to take it: all of this.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Match")]
pub(crate) struct MatchFile {
    /// A host without port, or *.example.com for one or more labels before example.com; any if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "api.example.com", example = "*.example.com")]
    pub(crate) host: Option<Part<String>>,
    /// Whole segments at the start of the path: /api takes /api and /api/x, but not /apix.
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path_prefix: Part<String>,
    /// Exactly this path, in place of path_prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: Option<Part<String>>,
    /// One of these methods; any if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))]
    pub(crate) methods: Option<Part<Vec<Part<String>>>>,
    /// Conditions on header fields.
    pub(crate) headers: Part<BTreeMap<String, Part<ConditionFile>>>,
    /// Conditions on cookies.
    pub(crate) cookies: Part<BTreeMap<String, Part<ConditionFile>>>,
    /// Conditions on parameters of the query, decoded once.
    pub(crate) query: Part<BTreeMap<String, Part<ConditionFile>>>,
}

/// What becomes of the path on the way to the upstream: first strip, then add.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Rewrite")]
pub(crate) struct RewriteFile {
    /// Whole segments taken off the start; a prefix of the match's path_prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/api", regex(pattern = "^/"))]
    pub(crate) strip_prefix: Option<Part<String>>,
    /// Whole segments put before what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/v2", regex(pattern = "^/"))]
    pub(crate) add_prefix: Option<Part<String>>,
    /// In place of the whole path, and of the prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: Option<Part<String>>,
    /// The Host field that the upstream gets; the client's if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "internal.example.com")]
    pub(crate) host: Option<Part<String>>,
}

/// One policy in the chain of a route.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PolicyUse")]
pub(crate) struct PolicyUseFile {
    /// A name under policies.
    #[serde(rename = "use")]
    pub(crate) policy: Part<String>,
    /// What becomes of a request when the policy fails on it.
    pub(crate) on_failure: Part<OnFailure>,
    /// For the policy to read.
    #[serde(default = "empty_config")]
    pub(crate) config: Value,
}

impl Default for MatchFile {
    fn default() -> Self {
        Self {
            host: None,
            path_prefix: Part::Read("/".to_owned()),
            path: None,
            methods: None,
            headers: Part::default(),
            cookies: Part::default(),
            query: Part::default(),
        }
    }
}

fn default_route_deadline() -> Part<DurationText> {
    duration(Route::DEFAULT_DEADLINE)
}

fn default_max_attempts() -> Part<u32> {
    Part::Read(Route::DEFAULT_MAX_ATTEMPTS)
}

fn default_max_retry_after() -> Part<DurationText> {
    duration(Route::DEFAULT_MAX_RETRY_AFTER)
}

fn default_replay_buffer() -> Part<SizeText> {
    Part::Read(SizeText(Route::DEFAULT_REPLAY_BUFFER))
}

fn default_upgrades() -> Part<Vec<Part<String>>> {
    Part::Read(vec![Part::Read("websocket".to_owned())])
}

fn empty_config() -> Value {
    Value::Object(Map::new())
}
