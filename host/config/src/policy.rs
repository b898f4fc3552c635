//! The validated policies: which component, what it may do, and within which limits.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component and the terms on which it runs. Each of its uses in a route has its own config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where the component comes from.
    pub component: ComponentSource,
    /// Whether an instance serves one request or several.
    pub isolation: Isolation,
    /// Capabilities that it may import. An import without a grant or a stub is a load error.
    pub grants: Grants,
    /// Capabilities that are linked as a version that denies every call. None of them is granted.
    pub stub: BTreeSet<Capability>,
    /// What one call of a hook may use.
    pub limits: Limits,
    /// When a use that keeps failing is left alone for a while; `None`, the default: never.
    pub fault_circuit: Option<FaultCircuit>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    /// One that comes with the gateway, by name. Whether it exists is for the gateway to say.
    Builtin(String),
    /// A file; a relative path in the config has been joined to the config's directory.
    File(PathBuf),
    /// The active version of that name in the policy store.
    Store(String),
}

/// As the config writes it: `builtin:rate-limit`, `file:policies/x.wasm`, `store:auth`.
impl fmt::Display for ComponentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Store(name) => write!(f, "store:{name}"),
        }
    }
}

/// What an instance of a policy may carry over from one request to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Nothing: each request gets a fresh instance.
    #[default]
    PerRequest,
    /// Its memory: an instance serves one request after another, of one worker and one use.
    Pooled,
}

/// A WIT interface of `portcullis:capability`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Keys and values in the gateway's memory.
    Kv,
    /// A Redis server.
    Redis,
    /// Metrics of the policy's own.
    Metrics,
    /// Secrets by name.
    Secrets,
    /// HTTP requests to upstreams.
    Outcall,
}

impl Capability {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::Kv,
        Self::Redis,
        Self::Metrics,
        Self::Secrets,
        Self::Outcall,
    ];

    /// As the config and WIT write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Redis => "redis",
            Self::Metrics => "metrics",
            Self::Secrets => "secrets",
            Self::Outcall => "outcall",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities of a policy. `None`: not granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Keys and values in the gateway's memory.
    pub kv: Option<KvGrant>,
    /// A Redis server.
    pub redis: Option<RedisGrant>,
    /// Metrics of the policy's own.
    pub metrics: Option<MetricsGrant>,
    /// Upstreams that it may send requests to in place of the route's: keys of [`crate::Config::upstreams`].
    pub upstreams: BTreeSet<String>,
    /// Secrets that it may read: keys of [`crate::Config::secrets`].
    pub secrets: BTreeSet<String>,
    /// HTTP requests of the policy's own.
    pub outcall: Option<OutcallGrant>,
}

impl Grants {
    /// Whether `capability` is granted.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Kv => self.kv.is_some(),
            Capability::Redis => self.redis.is_some(),
            Capability::Metrics => self.metrics.is_some(),
            Capability::Secrets => !self.secrets.is_empty(),
            Capability::Outcall => self.outcall.is_some(),
        }
    }
}

/// Keys and values in the gateway's memory, apart from those of other policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGrant {
    /// What all keys and values of the policy may take: 1 KiB to 1 GiB, default 16 MiB.
    pub max_bytes: u64,
}

impl Default for KvGrant {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
        }
    }
}

/// Calls to a Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisGrant {
    /// A key of [`crate::Config::redis`].
    pub binding: String,
    /// Put before every key that the policy names: 1 to 64 bytes.
    pub prefix: String,
    /// Whether the policy may run Lua scripts, which can reach keys without the prefix. Default no.
    pub scripts: bool,
}

/// HTTP requests of the policy's own, whose answers it gets whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcallGrant {
    /// Where they may go: keys of [`crate::Config::upstreams`], at least one.
    pub upstreams: BTreeSet<String>,
}

/// Metrics of the policy's own. Without settings so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricsGrant {}

/// What a hook may use, its calls of the host included, and what a use of the policy may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// 1 ms to 60 s of wall clock, default 50 ms.
    pub time: Duration,
    /// Linear memory in bytes: 1 MiB to 1 GiB, default 16 MiB.
    pub memory: u64,
    /// Elements of all tables of an instance together: 1 to 20,000, default 20,000.
    pub table_elements: u32,
    /// Handles of resources that an instance may hold at one time: 8 to 10,000, default 64.
    pub handles: u32,
    /// Bytes of a body that a hook may read or put in its place: 0 to 64 MiB, default 1 MiB. With 0 it
    /// gets no body.
    pub body: u64,
    /// Functions of the host that one hook may call: 1 to 1,000,000,000, default 10,000. Beyond it the hook
    /// is ended.
    pub host_calls: u32,
    /// Lines that a use may log in a second, all workers together: 0 to 1,000,000, default 1,000. Further
    /// ones are dropped.
    pub log_lines: u32,
    /// Series that a use may have: 0 to 100,000, default 200. Records of further ones are dropped.
    pub metric_series: u32,
    /// Requests of its own that one hook may send: 0 to 1,000, default 8. Further ones are denied.
    pub outcalls: u32,
    /// Bytes of the body of such a request, and of its answer's: 0 to 64 MiB, default 1 MiB. What is larger is
    /// not sent, or not read.
    pub outcall_body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            memory: 16 << 20,
            table_elements: 20_000,
            handles: 64,
            body: 1 << 20,
            host_calls: 10_000,
            log_lines: 1_000,
            metric_series: 200,
            outcalls: 8,
            outcall_body: 1 << 20,
        }
    }
}

/// When a use of a policy that keeps failing is left alone. While it is, `on_failure` says what its
/// requests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultCircuit {
    /// Faults within the window that open it: 1 to 10,000, default 5.
    pub faults: u32,
    /// 100 ms to 1 hour, default 10 s.
    pub window: Duration,
    /// How long it stays open before a hook probes: 100 ms to 1 hour, default 30 s.
    pub open_for: Duration,
}

impl Default for FaultCircuit {
    fn default() -> Self {
        Self {
            faults: 5,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(30),
        }
    }
}
