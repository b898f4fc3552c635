//! The file format of the telemetry that is sent out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UpstreamTlsFile, duration};
use crate::otlp::{Follow, Otlp, OtlpProtocol, Tracing};
use crate::part::Part;
use crate::secret::SecretFile;
use crate::units::DurationText;

/// A collector that takes OTLP. It is sent nothing unless tracing or metrics.push is set, too.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Otlp")]
pub(crate) struct OtlpFile {
    /// http://host:port, or https:// for TLS; port 4317 for grpc and 4318 for http if left out. With protocol http a
    /// path may follow, below which v1/traces and v1/metrics are.
    #[schemars(example = "http://127.0.0.1:4317", length(min = 1))]
    pub(crate) endpoint: Part<String>,
    /// What it speaks: grpc, or http with protobuf.
    #[serde(default)]
    pub(crate) protocol: Part<OtlpProtocol>,
    /// Header fields of each export, by name: the value, better "${NAME}" or { file: path } that holds it.
    #[serde(default)]
    pub(crate) headers: Part<BTreeMap<String, Part<SecretFile>>>,
    /// How the connection to an https:// endpoint is secured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Part<UpstreamTlsFile>>,
    /// What one export may take, connecting included: 10ms to 1m.
    #[serde(default = "default_timeout")]
    pub(crate) timeout: Part<DurationText>,
    /// What the gateway calls itself: the resource attribute service.name.
    #[serde(default = "default_service_name")]
    #[schemars(length(min = 1))]
    pub(crate) service_name: Part<String>,
    /// More attributes of the resource, such as deployment.environment.name, by name.
    #[serde(default)]
    pub(crate) resource: Part<BTreeMap<String, Part<String>>>,
}

/// Spans of requests, for the collector that otlp names.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "Tracing")]
pub(crate) struct TracingFile {
    /// Share of the requests that are traced, where the gateway decides: 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) sample: Part<f64>,
    /// Whose sampled flag is followed instead: trusted_proxies, everyone, or nobody.
    pub(crate) follow: Part<Follow>,
}

/// Sends metrics to the collector that otlp names.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "MetricsPush")]
pub(crate) struct MetricsPushFile {
    /// How often: 1s to 1h.
    #[serde(default = "default_interval")]
    pub(crate) interval: Part<DurationText>,
}

impl Default for TracingFile {
    fn default() -> Self {
        Self {
            sample: Part::Read(Tracing::DEFAULT_SAMPLE),
            follow: Part::default(),
        }
    }
}

fn default_timeout() -> Part<DurationText> {
    duration(Otlp::DEFAULT_TIMEOUT)
}

fn default_service_name() -> Part<String> {
    Part::Read(Otlp::DEFAULT_SERVICE_NAME.to_owned())
}

fn default_interval() -> Part<DurationText> {
    duration(crate::model::Metrics::DEFAULT_PUSH_INTERVAL)
}
