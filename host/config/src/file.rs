//! The file format, as serde and schemars see it: its keys, defaults and descriptions. The JSON Schema
//! that is made of these types refuses unknown keys; what serde does with them does not matter.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Config, RedisBinding, Timeouts, Upstream};
use crate::part::{Name, Named, Part};
use crate::policy::{Capability, Isolation, KvGrant, Limits};
use crate::route::{OnFailure, Route};
use crate::secret::SecretFile;
use crate::units::{DurationText, SizeText};

/// A Portcullis gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Portcullis gateway config")]
pub(crate) struct GatewayFile {
    /// Sockets that accept requests.
    #[schemars(length(min = 1))]
    pub(crate) listeners: Part<Vec<Part<ListenerFile>>>,
    /// Where metrics are served; nowhere if left out.
    pub(crate) metrics: Option<Part<MetricsFile>>,
    /// Worker threads; as many as the machine has cores if left out.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<Part<u16>>,
    /// How long requests in flight may take to finish when the gateway stops: up to 1h.
    #[serde(default = "default_drain_timeout")]
    pub(crate) drain_timeout: Part<DurationText>,
    /// Redis servers that policies can be granted.
    #[serde(default)]
    pub(crate) redis: Part<Named<RedisFile>>,
    /// Services behind the gateway.
    #[serde(default)]
    pub(crate) upstreams: Part<Named<UpstreamFile>>,
    /// Policies that routes can use.
    #[serde(default)]
    pub(crate) policies: Part<Named<PolicyFile>>,
    /// Which requests go where, through which policies.
    pub(crate) routes: Part<Vec<Part<RouteFile>>>,
}

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

/// Serves /metrics, /healthz and /readyz.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Metrics")]
pub(crate) struct MetricsFile {
    /// IP address and port.
    #[schemars(example = "0.0.0.0:9464", regex(pattern = ":[0-9]{1,5}$"))]
    pub(crate) address: Part<String>,
}

/// A Redis server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Redis")]
pub(crate) struct RedisFile {
    /// redis://[user:password@]host[:port][/database], or "${NAME}" or { file: path } that holds it.
    pub(crate) url: Part<SecretFile>,
    /// What one call of a policy may take: 1ms to 10s.
    #[serde(default = "default_redis_deadline")]
    pub(crate) deadline: Part<DurationText>,
}

/// A service behind the gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Upstream")]
pub(crate) struct UpstreamFile {
    /// Its addresses, http://host:port.
    #[schemars(length(min = 1), inner(regex(pattern = "^http://[^/?#@]+/?$")))]
    pub(crate) endpoints: Part<Vec<Part<String>>>,
    /// How long its steps may take: 1ms to 1h each.
    #[serde(default)]
    pub(crate) timeouts: Part<TimeoutsFile>,
    /// Unused connections that are kept, for each worker and endpoint.
    #[serde(default = "default_max_idle_connections")]
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) max_idle_connections: Part<usize>,
}

/// How long the steps towards an upstream may take.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Timeouts")]
pub(crate) struct TimeoutsFile {
    /// Until the connection stands.
    pub(crate) connect: Part<DurationText>,
    /// From the start of an attempt to the head of its response.
    pub(crate) attempt: Part<DurationText>,
    /// How long a pooled connection may stay unused.
    pub(crate) idle: Part<DurationText>,
}

/// A component and the terms on which it runs.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Policy")]
pub(crate) struct PolicyFile {
    /// builtin:NAME for one that comes with the gateway, or file:PATH, relative to the config file.
    #[schemars(
        example = "builtin:rate-limit",
        example = "file:policies/x.wasm",
        regex(pattern = "^(builtin|file):.")
    )]
    pub(crate) component: Part<String>,
    /// Whether an instance serves one request or several.
    #[serde(default)]
    pub(crate) isolation: Part<Isolation>,
    /// Capabilities that it may import.
    #[serde(default)]
    pub(crate) grants: Part<GrantsFile>,
    /// Capabilities that are linked as a version that denies every call.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) stub: Part<Vec<Capability>>,
    /// What one call of a hook may use, its calls of the host included.
    #[serde(default)]
    pub(crate) limits: Part<LimitsFile>,
}

/// Capabilities of a policy; one that is left out is not granted.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Grants")]
pub(crate) struct GrantsFile {
    /// Keys and values in the gateway's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kv: Option<Part<KvGrantFile>>,
    /// A Redis server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<Part<RedisGrantFile>>,
    /// Metrics of the policy's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<Part<MetricsGrantFile>>,
}

/// Keys and values in the gateway's memory.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "KvGrant")]
pub(crate) struct KvGrantFile {
    /// What all keys and values of the policy may take: 1KiB to 1GiB.
    pub(crate) max_bytes: Part<SizeText>,
}

/// Calls to a Redis server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RedisGrant")]
pub(crate) struct RedisGrantFile {
    /// A name under redis.
    pub(crate) binding: Part<String>,
    /// Put before every key that the policy names: 1 to 64 bytes.
    #[schemars(example = "rl:", length(min = 1, max = 64))]
    pub(crate) prefix: Part<String>,
    /// Whether it may run Lua scripts.
    #[serde(default)]
    pub(crate) scripts: Part<bool>,
}

/// Metrics of the policy's own; no settings so far.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "MetricsGrant")]
pub(crate) struct MetricsGrantFile {}

/// What one call of a hook may use.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Limits")]
pub(crate) struct LimitsFile {
    /// Wall clock: 1ms to 60s.
    pub(crate) time: Part<DurationText>,
    /// Linear memory: 1MiB to 1GiB.
    pub(crate) memory: Part<SizeText>,
}

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
    /// A name under upstreams.
    pub(crate) upstream: Part<String>,
    /// The whole request, retries included: 1ms to 1h.
    #[serde(default = "default_route_deadline")]
    pub(crate) deadline: Part<DurationText>,
    /// Attempts that a policy may ask for, the first included.
    #[serde(default = "default_max_attempts")]
    #[schemars(range(min = 1, max = 20))]
    pub(crate) max_attempts: Part<u32>,
    /// Whether a request whose method is not idempotent may be sent again.
    #[serde(default)]
    pub(crate) retry_non_idempotent: Part<bool>,
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
    /// One of these methods; any if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))]
    pub(crate) methods: Option<Part<Vec<Part<String>>>>,
    /// Each of these fields with exactly this value.
    pub(crate) headers: Part<BTreeMap<String, Part<String>>>,
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

impl Default for TimeoutsFile {
    fn default() -> Self {
        let timeouts = Timeouts::default();
        Self {
            connect: duration(timeouts.connect),
            attempt: duration(timeouts.attempt),
            idle: duration(timeouts.idle),
        }
    }
}

impl Default for KvGrantFile {
    fn default() -> Self {
        Self {
            max_bytes: Part::Read(SizeText(KvGrant::default().max_bytes)),
        }
    }
}

impl Default for LimitsFile {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            time: duration(limits.time),
            memory: Part::Read(SizeText(limits.memory)),
        }
    }
}

impl Default for MatchFile {
    fn default() -> Self {
        Self {
            host: None,
            path_prefix: Part::Read("/".to_owned()),
            methods: None,
            headers: Part::default(),
        }
    }
}

fn duration(duration: Duration) -> Part<DurationText> {
    Part::Read(DurationText(duration))
}

fn default_drain_timeout() -> Part<DurationText> {
    duration(Config::DEFAULT_DRAIN_TIMEOUT)
}

fn default_redis_deadline() -> Part<DurationText> {
    duration(RedisBinding::DEFAULT_DEADLINE)
}

fn default_max_idle_connections() -> Part<usize> {
    Part::Read(Upstream::DEFAULT_MAX_IDLE_CONNECTIONS)
}

fn default_route_deadline() -> Part<DurationText> {
    duration(Route::DEFAULT_DEADLINE)
}

fn default_max_attempts() -> Part<u32> {
    Part::Read(Route::DEFAULT_MAX_ATTEMPTS)
}

fn empty_config() -> Value {
    Value::Object(Map::new())
}
