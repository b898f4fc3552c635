//! The file format of Redis bindings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientCertificateFile, duration};
use crate::part::Part;
use crate::redis::{RedisBinding, RedisCircuit};
use crate::secret::SecretFile;
use crate::units::DurationText;

/// Redis servers: one of url, sentinel and cluster.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Redis")]
pub(crate) struct RedisFile {
    /// One server: redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path; or "${NAME}" or
    /// { file: path } that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<Part<SecretFile>>,
    /// The master that Sentinels name, followed when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sentinel: Option<Part<RedisSentinelFile>>,
    /// A cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<Part<RedisClusterFile>>,
    /// A user of the servers' ACL; their default user if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"gateway", length(min = 1))]
    pub(crate) username: Option<Part<String>>,
    /// The user's password, better "${NAME}" or { file: path } that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Part<SecretFile>>,
    /// The database's number; the URL's if left out, else 0. A cluster has one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<Part<u32>>,
    /// How rediss:// connections are secured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Part<RedisTlsFile>>,
    /// What one call of a policy may take: 1ms to 10s.
    #[serde(default = "default_deadline")]
    pub(crate) deadline: Part<DurationText>,
    /// What a connection may take to stand, TLS and login included, whoever waits for it: 10ms to 10s.
    #[serde(default = "default_connect_timeout")]
    pub(crate) connect_timeout: Part<DurationText>,
    /// When calls are answered at once because the servers do not answer.
    #[serde(default)]
    pub(crate) circuit: Part<RedisCircuitFile>,
}

/// The master that Sentinels name.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RedisSentinel")]
pub(crate) struct RedisSentinelFile {
    /// The master's name, as the Sentinels know it.
    #[schemars(example = &"mymaster", length(min = 1))]
    pub(crate) master: Part<String>,
    /// The Sentinels: redis://host[:port], port 26379 if left out. With rediss:// the connections to them and to the
    /// master are secured.
    #[schemars(length(min = 1))]
    pub(crate) nodes: Part<Vec<Part<String>>>,
    /// A user of the Sentinels' ACL; their default user if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"gateway", length(min = 1))]
    pub(crate) username: Option<Part<String>>,
    /// The password for the Sentinels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Part<SecretFile>>,
}

/// A cluster.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RedisCluster")]
pub(crate) struct RedisClusterFile {
    /// Some of its nodes, which name the others: redis://host[:port], port 6379 if left out, or rediss://.
    #[schemars(length(min = 1))]
    pub(crate) nodes: Part<Vec<Part<String>>>,
}

/// How rediss:// connections are secured.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "RedisTls")]
pub(crate) struct RedisTlsFile {
    /// PEM file of the authorities to trust; those that the system trusts if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "redis-ca.pem", length(min = 1))]
    pub(crate) ca: Option<Part<String>>,
    /// What the gateway shows of itself; nothing if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate: Option<Part<ClientCertificateFile>>,
}

/// When calls are answered at once, as unavailable, because the servers do not answer.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "RedisCircuit")]
pub(crate) struct RedisCircuitFile {
    /// Failures in a row, within the window, that open it.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) failures: Part<u32>,
    /// The time in which failures are counted together: 100ms to 1h.
    pub(crate) window: Part<DurationText>,
    /// While it is open, the longest time from one probe to the next: 10ms to 1m.
    pub(crate) probe_every: Part<DurationText>,
}

impl Default for RedisCircuitFile {
    fn default() -> Self {
        let circuit = RedisCircuit::default();
        Self {
            failures: Part::Read(circuit.failures),
            window: duration(circuit.window),
            probe_every: duration(circuit.probe_every),
        }
    }
}

fn default_deadline() -> Part<DurationText> {
    duration(RedisBinding::DEFAULT_DEADLINE)
}

fn default_connect_timeout() -> Part<DurationText> {
    duration(RedisBinding::DEFAULT_CONNECT_TIMEOUT)
}
