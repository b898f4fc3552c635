//! The file format of policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::part::Part;
use crate::policy::{Capability, FaultCircuit, Isolation, KvGrant, Limits};
use crate::units::{DurationText, SizeText};

/// A component and the terms on which it runs.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Policy")]
pub(crate) struct PolicyFile {
    /// builtin:NAME for one that comes with the gateway, file:PATH, relative to the config file, or store:NAME
    /// for the active version of that name in the policy_store.
    #[schemars(
        example = "builtin:rate-limit",
        example = "file:policies/x.wasm",
        example = "store:auth",
        regex(pattern = "^(builtin|file|store):.")
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
    /// When a use that keeps failing is left alone for a while; never if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault_circuit: Option<Part<FaultCircuitFile>>,
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
    /// Names under upstreams: where it may send requests in place of the route's upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) upstreams: Option<Part<Vec<Part<String>>>>,
    /// Names under secrets: what it may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) secrets: Option<Part<Vec<Part<String>>>>,
    /// HTTP requests of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcall: Option<Part<OutcallGrantFile>>,
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

/// HTTP requests of the policy's own.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "OutcallGrant")]
pub(crate) struct OutcallGrantFile {
    /// Names under upstreams: where they may go.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) upstreams: Part<Vec<Part<String>>>,
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
    /// Wall clock: 1ms to 60s. Of a hook through which a body streams: each step of the body, without the time
    /// that it waits for its peers.
    pub(crate) time: Part<DurationText>,
    /// Linear memory: 1MiB to 1GiB.
    pub(crate) memory: Part<SizeText>,
    /// Elements of all tables of an instance together.
    #[schemars(range(min = 1, max = 20_000))]
    pub(crate) table_elements: Part<u32>,
    /// Handles of resources that an instance may hold at one time; beyond it the hook is ended.
    #[schemars(range(min = 8, max = 10_000))]
    pub(crate) handles: Part<u32>,
    /// Bytes of a body that a hook may read or put in its place: 0 to 64MiB; bodies that stream have no such
    /// limit. With 0 it gets no body.
    pub(crate) body: Part<SizeText>,
    /// Functions of the host that one hook may call, or between two steps of a body that streams; beyond it the
    /// hook is ended.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) host_calls: Part<u32>,
    /// Lines that a use may log in a second, all workers together; further ones are dropped.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) log_lines: Part<u32>,
    /// Series of its own that a use may have; records of further ones are dropped.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) metric_series: Part<u32>,
    /// Requests of its own that one hook may send; further ones are denied.
    #[schemars(range(min = 0, max = 1_000))]
    pub(crate) outcalls: Part<u32>,
    /// Bytes of the body of such a request, and of its answer's: 0 to 64MiB. What is larger is not sent, or
    /// not read.
    pub(crate) outcall_body: Part<SizeText>,
}

/// When a use of a policy that keeps failing is left alone; meanwhile on_failure says what its requests
/// get.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "FaultCircuit")]
pub(crate) struct FaultCircuitFile {
    /// Faults within the window that open it.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) faults: Part<u32>,
    /// The time in which faults are counted together: 100ms to 1h.
    pub(crate) window: Part<DurationText>,
    /// How long the policy is not called; then one hook at a time probes: 100ms to 1h.
    pub(crate) open_for: Part<DurationText>,
}

impl Default for FaultCircuitFile {
    fn default() -> Self {
        let circuit = FaultCircuit::default();
        Self {
            faults: Part::Read(circuit.faults),
            window: duration(circuit.window),
            open_for: duration(circuit.open_for),
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
            table_elements: Part::Read(limits.table_elements),
            handles: Part::Read(limits.handles),
            body: Part::Read(SizeText(limits.body)),
            host_calls: Part::Read(limits.host_calls),
            log_lines: Part::Read(limits.log_lines),
            metric_series: Part::Read(limits.metric_series),
            outcalls: Part::Read(limits.outcalls),
            outcall_body: Part::Read(SizeText(limits.outcall_body)),
        }
    }
}
