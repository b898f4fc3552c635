//! The validated ways in which endpoints are watched, spared and protected.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How endpoints are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// From one question to the next, jittered by a tenth: 100 ms to 1 hour, default 5 s.
    pub interval: Duration,
    /// What the answer may take, connecting included: 1 ms to 1 minute, default 1 s.
    pub timeout: Duration,
    /// Good answers in a row that make an unhealthy endpoint healthy: 1 to 100, default 2.
    pub healthy_after: u32,
    /// Bad answers in a row that make a healthy endpoint unhealthy: 1 to 100, default 3.
    pub unhealthy_after: u32,
    /// The `Host` or `:authority` of the question; `None`: the endpoint's own.
    pub host: Option<String>,
}

impl HealthCheck {
    /// Of [`HealthCheck::interval`].
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
    /// Of [`HealthCheck::timeout`].
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
    /// Of [`HealthCheck::healthy_after`].
    pub const DEFAULT_HEALTHY_AFTER: u32 = 2;
    /// Of [`HealthCheck::unhealthy_after`].
    pub const DEFAULT_UNHEALTHY_AFTER: u32 = 3;
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET of this path, answered with one of these statuses. The default, with `/` and 200 to 299.
    Http {
        /// Starts with `/`; may have a query.
        path: String,
        /// At least one range, each within 100 to 599.
        expect: Vec<RangeInclusive<u16>>,
    },
    /// `grpc.health.v1.Health/Check` over HTTP/2, answered with `SERVING`.
    Grpc {
        /// The service that is asked about; empty: the server as a whole.
        service: String,
    },
    /// A connection.
    Tcp,
}

/// When an endpoint is left alone for a while because of what it answers to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Failures in a row: 1 to 10,000, default 5. A failure is an attempt without an answer, or an
    /// answer of 502, 503 or 504.
    pub consecutive_failures: u32,
    /// `None`, the default: successes are not counted.
    pub success_rate: Option<SuccessRate>,
    /// How long the first ejection lasts: 1 ms to 1 hour, default 30 s. The second in a row lasts twice
    /// as long, the third three times, …
    pub base_ejection: Duration,
    /// How long an ejection lasts at most: `base_ejection` to 24 hours, default 5 minutes.
    pub max_ejection: Duration,
    /// Percent of the endpoints that may be ejected at the same time: 1 to 100, default 50.
    pub max_ejected_percent: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            success_rate: None,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_mins(5),
            max_ejected_percent: 50,
        }
    }
}

/// How many of an endpoint's attempts must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessRate {
    /// Percent, 1 to 100.
    pub minimum: u32,
    /// Over this time: 100 ms to 1 hour, default 10 s.
    pub interval: Duration,
    /// With fewer attempts than this in the interval nothing is concluded: 1 to 1,000,000, default 100.
    pub min_requests: u32,
}

impl SuccessRate {
    /// Of [`SuccessRate::interval`].
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
    /// Of [`SuccessRate::min_requests`].
    pub const DEFAULT_MIN_REQUESTS: u32 = 100;
}

/// What an upstream is sent at the same time, by all workers together. Beyond it, requests are
/// answered 503 at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// HTTP/1.1 connections in use: 1 to 1,000,000, default 4,096. As with nginx's `max_conns`, unused ones
    /// that are kept do not count. Over HTTP/2, where requests share connections, only `max_requests` counts.
    pub max_connections: u32,
    /// Requests that wait for a connection because `max_connections` are in use: 0 to 1,000,000, default
    /// 1,024.
    pub max_pending: u32,
    /// Requests whose responses have not ended: 1 to 1,000,000, default 8,192.
    pub max_requests: u32,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_pending: 1_024,
            max_requests: 8_192,
        }
    }
}

/// How many retries an upstream is sent beside its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries for each request, in thousandths: 0 to 10,000, default 200.
    pub ratio_millis: u32,
    /// Retries a second that are allowed in any case: 0 to 10,000, default 10.
    pub min_retries_per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            ratio_millis: 200,
            min_retries_per_second: 10,
        }
    }
}

/// Where host names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// Name servers; empty, the default: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<std::net::SocketAddr>,
}
