//! The file format of what watches, spares and protects endpoints.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::duration;
use crate::part::Part;
use crate::resilience::{Circuit, HealthCheck, OutlierDetection, SuccessRate};
use crate::units::DurationText;

/// How endpoints are asked whether they are well.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HealthCheck")]
pub(crate) struct HealthCheckFile {
    /// What is asked.
    #[serde(default, rename = "type")]
    pub(crate) kind: Part<ProbeKind>,
    /// For http: what is fetched; / if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/health", regex(pattern = "^/"))]
    pub(crate) path: Option<Part<String>>,
    /// For http: good statuses, such as 200 or 200-299; 200-299 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(crate) expect: Option<Part<Vec<Part<StatusesFile>>>>,
    /// For grpc: the service that is asked about; the whole server if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<Part<String>>,
    /// The Host of the question; the endpoint's own if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "api.example.com")]
    pub(crate) host: Option<Part<String>>,
    /// From one question to the next: 100ms to 1h.
    #[serde(default = "default_interval")]
    pub(crate) interval: Part<DurationText>,
    /// What the answer may take: 1ms to 1m.
    #[serde(default = "default_timeout")]
    pub(crate) timeout: Part<DurationText>,
    /// Good answers in a row that make an unhealthy endpoint healthy.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) healthy_after: Part<u32>,
    /// Bad answers in a row that make a healthy endpoint unhealthy.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) unhealthy_after: Part<u32>,
}

/// What a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Probe")]
pub(crate) enum ProbeKind {
    /// A GET.
    #[default]
    Http,
    /// grpc.health.v1.Health/Check.
    Grpc,
    /// A connection.
    Tcp,
}

/// Good statuses as the config writes them: 200, or 200-299.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum StatusesFile {
    /// One status.
    One(u16),
    /// From the first to the last.
    Range(String),
}

impl JsonSchema for StatusesFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status from 100 to 599, or the first and the last of a range.",
            "type": ["integer", "string"],
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            "examples": ["200", "200-299"],
        })
    }
}

/// When an endpoint is left alone for a while because of what it answers.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "OutlierDetection")]
pub(crate) struct OutlierDetectionFile {
    /// Failures in a row: attempts without an answer, and answers of 502, 503 or 504.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) consecutive_failures: Part<u32>,
    /// How many attempts must succeed; not looked at if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success_rate: Option<Part<SuccessRateFile>>,
    /// How long the first ejection lasts, and by how much each further one is longer: 1ms to 1h.
    pub(crate) base_ejection: Part<DurationText>,
    /// How long an ejection lasts at most: up to 24h.
    pub(crate) max_ejection: Part<DurationText>,
    /// Percent of the endpoints that may be ejected at the same time.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) max_ejected_percent: Part<u32>,
}

/// How many of an endpoint's attempts must succeed.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "SuccessRate")]
pub(crate) struct SuccessRateFile {
    /// Percent.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) minimum: Part<u32>,
    /// Over this time: 100ms to 1h.
    #[serde(default = "default_rate_interval")]
    pub(crate) interval: Part<DurationText>,
    /// With fewer attempts in that time nothing is concluded.
    #[serde(default = "default_min_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) min_requests: Part<u32>,
}

/// What an upstream is sent at the same time; beyond it requests are answered 503 at once.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Circuit")]
pub(crate) struct CircuitFile {
    /// HTTP/1.1 connections in use; over HTTP/2 only max_requests counts.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: Part<u32>,
    /// Requests that wait for a connection because all are in use.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) max_pending: Part<u32>,
    /// Requests whose responses have not ended.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_requests: Part<u32>,
}

/// How many retries an upstream is sent beside its requests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "RetryBudget")]
pub(crate) struct RetryBudgetFile {
    /// Retries for each request.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub(crate) ratio: Part<f64>,
    /// Retries a second that are allowed in any case.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) min_retries_per_second: Part<u32>,
}

/// Where host names are looked up.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Dns")]
pub(crate) struct DnsFile {
    /// Name servers, IP address and port; those of the system if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), inner(regex(pattern = ":[0-9]{1,5}$")))]
    pub(crate) servers: Option<Part<Vec<Part<String>>>>,
}

impl Default for OutlierDetectionFile {
    fn default() -> Self {
        let defaults = OutlierDetection::default();
        Self {
            consecutive_failures: Part::Read(defaults.consecutive_failures),
            success_rate: None,
            base_ejection: duration(defaults.base_ejection),
            max_ejection: duration(defaults.max_ejection),
            max_ejected_percent: Part::Read(defaults.max_ejected_percent),
        }
    }
}

impl Default for CircuitFile {
    fn default() -> Self {
        let defaults = Circuit::default();
        Self {
            max_connections: Part::Read(defaults.max_connections),
            max_pending: Part::Read(defaults.max_pending),
            max_requests: Part::Read(defaults.max_requests),
        }
    }
}

impl Default for RetryBudgetFile {
    fn default() -> Self {
        Self {
            ratio: Part::Read(0.2),
            min_retries_per_second: Part::Read(10),
        }
    }
}

fn default_interval() -> Part<DurationText> {
    duration(HealthCheck::DEFAULT_INTERVAL)
}

fn default_timeout() -> Part<DurationText> {
    duration(HealthCheck::DEFAULT_TIMEOUT)
}

fn default_healthy_after() -> Part<u32> {
    Part::Read(HealthCheck::DEFAULT_HEALTHY_AFTER)
}

fn default_unhealthy_after() -> Part<u32> {
    Part::Read(HealthCheck::DEFAULT_UNHEALTHY_AFTER)
}

fn default_rate_interval() -> Part<DurationText> {
    duration(SuccessRate::DEFAULT_INTERVAL)
}

fn default_min_requests() -> Part<u32> {
    Part::Read(SuccessRate::DEFAULT_MIN_REQUESTS)
}
