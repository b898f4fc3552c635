//! The file format, as serde and schemars see it: its keys, defaults and descriptions. The JSON Schema
//! that is made of these types refuses unknown keys; what serde does with them does not matter.

mod access_log;
mod balancing;
mod client;
mod condition;
mod control;
mod destination;
mod field_edits;
mod head;
mod listener;
mod log;
mod mirror;
mod otlp;
mod policy;
mod policy_store;
mod redis;
mod resilience;
mod route;
mod upstream;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use access_log::AccessLogFile;
pub(crate) use balancing::{EndpointFile, HashFile, LoadBalancingFile};
pub(crate) use client::{ClientLimitsFile, ClientTimeoutsFile, RouteLimitsFile};
pub(crate) use condition::ConditionFile;
pub(crate) use control::ControlFile;
pub(crate) use destination::{FixedResponseFile, RedirectFile, ShareFile};
pub(crate) use field_edits::FieldEditsFile;
pub(crate) use head::PathNormalisationFile;
pub(crate) use listener::{CertificateFile, ClientCertificatesFile, ListenerFile, ListenerTlsFile};
pub(crate) use log::LogFile;
pub(crate) use mirror::MirrorFile;
pub(crate) use otlp::{MetricsPushFile, OtlpFile, TracingFile};
pub(crate) use policy::{
    FaultCircuitFile, GrantsFile, KvGrantFile, LimitsFile, OutcallGrantFile, PolicyFile,
    RedisGrantFile,
};
pub(crate) use policy_store::PolicyStoreFile;
pub(crate) use redis::{
    RedisCircuitFile, RedisClusterFile, RedisFile, RedisSentinelFile, RedisTlsFile,
};
pub(crate) use resilience::{
    CircuitFile, DnsFile, HealthCheckFile, OutlierDetectionFile, ProbeKind, RetryBudgetFile,
    StatusesFile, SuccessRateFile,
};
pub(crate) use route::{MatchFile, PolicyUseFile, RewriteFile, RouteFile};
pub(crate) use upstream::{ClientCertificateFile, TimeoutsFile, UpstreamFile, UpstreamTlsFile};

use crate::model::{Config, Metrics};
use crate::part::{Named, Part};
use crate::secret::SecretFile;
use crate::units::DurationText;

/// A Portcullis gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Portcullis gateway config")]
pub(crate) struct GatewayFile {
    /// Sockets that accept requests.
    #[schemars(length(min = 1))]
    pub(crate) listeners: Part<Vec<Part<ListenerFile>>>,
    /// Where metrics are served; nowhere if left out.
    pub(crate) metrics: Option<Part<MetricsFile>>,
    /// Where the control API is served; nowhere if left out.
    pub(crate) control: Option<Part<ControlFile>>,
    /// Where versions of policies are kept that were pushed to the gateway; none can be if left out.
    pub(crate) policy_store: Option<Part<PolicyStoreFile>>,
    /// Worker threads; as many as the machine has cores if left out.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<Part<u16>>,
    /// Instances of policies that may be live at once; a request that needs one more gets 503.
    #[serde(default = "default_policy_instances")]
    #[schemars(range(min = 10, max = 10000))]
    pub(crate) policy_instances: Part<u32>,
    /// How long requests in flight may take to finish when the gateway stops: up to 1h.
    #[serde(default = "default_drain_timeout")]
    pub(crate) drain_timeout: Part<DurationText>,
    /// What clients may send and hold.
    #[serde(default)]
    pub(crate) limits: Part<ClientLimitsFile>,
    /// How long clients may take.
    #[serde(default)]
    pub(crate) timeouts: Part<ClientTimeoutsFile>,
    /// The gateway's own log.
    #[serde(default)]
    pub(crate) log: Part<LogFile>,
    /// How paths are brought to one spelling.
    #[serde(default)]
    pub(crate) path_normalisation: Part<PathNormalisationFile>,
    /// Networks whose peers may speak for other clients, in X-Forwarded-For and its like; none if left out.
    #[serde(default)]
    pub(crate) trusted_proxies: Part<Vec<Part<String>>>,
    /// The gateway's name in the field Via; none leaves the field out.
    #[serde(default = "default_via")]
    pub(crate) via: Part<String>,
    /// How long the gateway still takes connections when it is told to stop, with /readyz failing, so
    /// that load balancers turn away: up to 10m.
    #[serde(default = "default_drain_delay")]
    pub(crate) drain_delay: Part<DurationText>,
    /// Whether a change of this file, or of a file that it names, is a reload; SIGHUP is one in any case.
    #[serde(default = "default_watch")]
    pub(crate) watch: Part<bool>,
    /// Where each request leaves a line of JSON; nowhere if left out.
    pub(crate) access_log: Option<Part<AccessLogFile>>,
    /// The collector that traces and metrics are sent to; none if left out.
    pub(crate) otlp: Option<Part<OtlpFile>>,
    /// Spans of requests, sent to the collector; none if left out.
    pub(crate) tracing: Option<Part<TracingFile>>,
    /// Redis servers that policies can be granted.
    #[serde(default)]
    pub(crate) redis: Part<Named<RedisFile>>,
    /// Secrets that policies can be granted, read when the config is.
    #[serde(default)]
    pub(crate) secrets: Part<Named<SecretFile>>,
    /// Where the host names of endpoints are looked up.
    #[serde(default)]
    pub(crate) dns: Part<DnsFile>,
    /// Services behind the gateway.
    #[serde(default)]
    pub(crate) upstreams: Part<Named<UpstreamFile>>,
    /// Policies that routes can use.
    #[serde(default)]
    pub(crate) policies: Part<Named<PolicyFile>>,
    /// Which requests go where, through which policies.
    pub(crate) routes: Part<Vec<Part<RouteFile>>>,
}

/// Serves /metrics, /healthz and /readyz.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Metrics")]
pub(crate) struct MetricsFile {
    /// IP address and port.
    #[schemars(example = "0.0.0.0:9464", regex(pattern = ":[0-9]{1,5}$"))]
    pub(crate) address: Part<String>,
    /// Who asks for /metrics within that time of another gets the same page; 0s: a page of their own.
    #[serde(default = "default_max_age")]
    pub(crate) max_age: Part<DurationText>,
    /// Sends the same metrics to the collector that otlp names; not if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<Part<MetricsPushFile>>,
}

fn duration(duration: Duration) -> Part<DurationText> {
    Part::Read(DurationText(duration))
}

fn default_policy_instances() -> Part<u32> {
    Part::Read(Config::DEFAULT_POLICY_INSTANCES)
}

fn default_drain_timeout() -> Part<DurationText> {
    duration(Config::DEFAULT_DRAIN_TIMEOUT)
}

fn default_via() -> Part<String> {
    Part::Read(Config::DEFAULT_VIA.to_owned())
}

fn default_drain_delay() -> Part<DurationText> {
    duration(Duration::ZERO)
}

fn default_max_age() -> Part<DurationText> {
    duration(Metrics::DEFAULT_MAX_AGE)
}

fn default_watch() -> Part<bool> {
    Part::Read(true)
}
