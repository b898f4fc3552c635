//! Every metric of the gateway, declared once, and the page that shows them.
//!
//! Instruments are bound to their labels when a route or a policy use is made: a bound record
//! costs a tenth of one that looks its labels up. Names follow OpenTelemetry's HTTP conventions
//! where they have one; the gateway's own begin with `portcullis.`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    BoundCounter, BoundHistogram, Counter, Gauge, Histogram, Meter, MeterProvider, UpDownCounter,
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::client::ClientCounters;
use super::downstream::DownstreamMetrics;
use super::mirror::MirrorMetrics;
use super::outcall::OutcallMetrics;
use super::policy_use::{self, PolicyUseMetrics};
use super::redis::{self, RedisMetrics};
use super::upstream::{self, EndpointReading, UpstreamMetrics};
use super::use_readings::{self, UseReading};
use crate::capability::redis::BindingReading;
use crate::policy::fault_circuits::CircuitReading;
use crate::wasm::Phase;

/// Seconds; the boundaries of OpenTelemetry's HTTP conventions, with finer ones below.
pub(super) const REQUEST_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];
/// Seconds; a policy takes microseconds.
const POLICY_SECONDS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.05, 0.1,
];

/// All instruments of a process.
pub struct Metrics {
    registry: Registry,
    _provider: SdkMeterProvider,
    pub(super) meter: Meter,
    /// Of mirrors.
    pub mirrors: MirrorMetrics,
    /// Of policies' own requests.
    pub outcalls: OutcallMetrics,
    /// Of Redis bindings.
    pub redis: RedisMetrics,
    /// Of upstreams.
    pub upstreams: UpstreamMetrics,
    request_duration: Histogram<f64>,
    policy_duration: Histogram<f64>,
    /// Of uses of policies.
    pub policy_uses: PolicyUseMetrics,
    attempts: Counter<u64>,
    retries: Counter<u64>,
    connections: UpDownCounter<i64>,
    config_revision: Gauge<u64>,
    config_reloads: Counter<u64>,
    /// What clients were refused.
    pub client: ClientCounters,
    config_revisions: UpDownCounter<i64>,
    /// Of clients' connections.
    pub downstream: DownstreamMetrics,
    access_log_dropped: Counter<u64>,
}

/// The exporter or its registry refused to start.
#[derive(Debug, thiserror::Error)]
#[error("the metrics exporter does not start: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// A registry of its own, so that several gateways live in one process.
    pub fn start() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("portcullis");
        let metrics = Self {
            registry,
            _provider: provider,
            request_duration: seconds(
                &meter,
                "http.server.request.duration",
                "Time from a request's head to the end of its response",
                REQUEST_SECONDS,
            ),
            policy_duration: seconds(
                &meter,
                "portcullis.policy.duration",
                "Time of one hook of a policy, host calls included",
                POLICY_SECONDS,
            ),
            policy_uses: PolicyUseMetrics::new(&meter),
            attempts: counter(
                &meter,
                "portcullis.upstream.attempts",
                "Attempts at upstreams, by status class or failure",
            ),
            retries: counter(
                &meter,
                "portcullis.retries",
                "Attempts after the first, by what made them necessary",
            ),
            connections: meter
                .i64_up_down_counter("portcullis.connections.active")
                .with_description("Client connections that are open")
                .build(),
            config_revision: meter
                .u64_gauge("portcullis.config.revision")
                .with_description("Revision of the config that serves")
                .build(),
            config_reloads: counter(
                &meter,
                "portcullis.config.reloads",
                "Reloads of the config, by result",
            ),
            client: ClientCounters::new(&meter),
            mirrors: MirrorMetrics::new(&meter),
            outcalls: OutcallMetrics::new(&meter),
            redis: RedisMetrics::new(&meter),
            upstreams: UpstreamMetrics::new(&meter),
            access_log_dropped: counter(
                &meter,
                "portcullis.access_log.dropped",
                "Lines of the access log that were not written, by reason",
            ),
            config_revisions: meter
                .i64_up_down_counter("portcullis.config.revisions")
                .with_description(
                    "Revisions in memory: the serving one, and older ones that requests still use",
                )
                .build(),
            downstream: DownstreamMetrics::new(&meter),
            meter,
        };
        metrics.announce_build();
        Ok(metrics)
    }

    /// The series in Prometheus' text format.
    pub fn render(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| MetricsError(error.to_string()))
    }

    /// What was counted of policies' uses, by policy and route.
    pub fn use_readings(&self) -> BTreeMap<(String, String), UseReading> {
        use_readings::read(&self.registry)
    }

    /// An attempt was made because of `reason`: a status or a failure's name.
    pub fn retry(&self, upstream: &str, reason: String) {
        let labels = [
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
            KeyValue::new("portcullis.reason", reason),
        ];
        self.retries.add(1, &labels);
    }

    /// An attempt ended without a response.
    pub fn attempt_failed(&self, upstream: &str, failure: &'static str) {
        self.attempts.add(1, &attempt_labels(upstream, failure));
    }

    /// The config of that revision serves.
    pub fn revision(&self, revision: u64) {
        self.config_revision.record(revision, &[]);
    }

    /// A reload ended as `result`.
    pub fn reload(&self, result: &'static str) {
        self.config_reloads
            .add(1, &[KeyValue::new("portcullis.result", result)]);
    }

    /// A revision of the config was made (+1) or dropped (-1).
    pub fn held_revision(&self, change: i64) {
        self.config_revisions.add(change, &[]);
    }

    /// So many lines of the access log were not written, for that reason.
    pub fn access_log_dropped(&self, lines: u64, reason: &'static str) {
        self.access_log_dropped
            .add(lines, &[KeyValue::new("portcullis.reason", reason)]);
    }

    /// A client's connection was opened (+1) or closed (-1).
    pub fn connection(&self, change: i64) {
        self.connections.add(change, &[]);
    }

    /// The histograms of a policy use, for the hooks that it has.
    pub fn bind_policy(
        &self,
        policy: &str,
        route: &str,
        exports: impl Fn(Phase) -> bool,
    ) -> PolicyTimers {
        let bind = |phase: Phase| {
            self.policy_duration.bind(&[
                KeyValue::new("portcullis.policy", policy.to_owned()),
                KeyValue::new("portcullis.route", route.to_owned()),
                KeyValue::new("portcullis.phase", phase.name()),
            ])
        };
        PolicyTimers(Phase::ALL.map(|phase| exports(phase).then(|| bind(phase))))
    }

    /// The counters of an upstream's answered attempts, by the hundreds of the status.
    pub fn bind_attempts(&self, upstream: &str) -> AttemptCounters {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        AttemptCounters(classes.map(|class| self.attempts.bind(&attempt_labels(upstream, class))))
    }

    /// Shows the endpoints that `read` finds whenever the metrics are read.
    pub fn observe_endpoints(
        &self,
        read: impl Fn() -> Vec<EndpointReading> + Send + Sync + Clone + 'static,
    ) {
        upstream::observe(&self.meter, read);
    }

    /// Shows the fault circuits that `read` finds whenever the metrics are read.
    pub fn observe_fault_circuits(
        &self,
        read: impl Fn() -> Vec<CircuitReading> + Send + Sync + 'static,
    ) {
        policy_use::observe_circuits(&self.meter, read);
    }

    /// Shows the circuits of Redis bindings that `read` finds whenever the metrics are read.
    pub fn observe_redis_circuits(
        &self,
        read: impl Fn() -> Vec<BindingReading> + Send + Sync + 'static,
    ) {
        redis::observe_circuits(&self.meter, read);
    }

    /// Shows the number of policies' instances that `read` finds whenever the metrics are read.
    pub fn observe_instances(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        policy_use::observe_instances(&self.meter, read);
    }

    fn announce_build(&self) {
        let info = self
            .meter
            .u64_gauge("portcullis.build.info")
            .with_description("1, with the version as a label")
            .build();
        info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
    }
}

fn attempt_labels(upstream: &str, outcome: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("portcullis.upstream", upstream.to_owned()),
        KeyValue::new("portcullis.outcome", outcome),
    ]
}

pub(super) fn counter(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
) -> Counter<u64> {
    meter
        .u64_counter(name)
        .with_description(description)
        .build()
}

pub(super) fn seconds(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    boundaries: &[f64],
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(boundaries.to_vec())
        .build()
}

/// How long the hooks of one policy use take, by phase.
pub struct PolicyTimers([Option<BoundHistogram<f64>>; Phase::ALL.len()]);

impl PolicyTimers {
    /// Records one hook.
    pub fn record(&self, phase: Phase, duration: Duration) {
        if let Some(histogram) = &self.0[phase as usize] {
            histogram.record(duration.as_secs_f64());
        }
    }
}

/// Counters of one upstream's answered attempts.
pub struct AttemptCounters([BoundCounter<u64>; 5]);

impl AttemptCounters {
    /// Counts an attempt that was answered with that status.
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.0.get(class) {
            counter.add(1);
        }
    }
}

/// One worker's histograms of one route's requests, bound when a method and status first occur.
pub struct RouteSlots {
    route: String,
    bound: RefCell<Vec<(MethodAndStatus, BoundHistogram<f64>)>>,
}

type MethodAndStatus = (&'static str, u16);

impl RouteSlots {
    /// Slots of that route; `(none)` for requests that no route matched.
    pub fn new(route: &str) -> Self {
        Self {
            route: route.to_owned(),
            bound: RefCell::default(),
        }
    }

    /// Records a request that has ended.
    pub fn record(
        &self,
        metrics: &Metrics,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let key = (known_method(method), status.as_u16());
        let mut bound = self.bound.borrow_mut();
        let place = match bound.iter().position(|(bound, _)| *bound == key) {
            Some(place) => place,
            None => {
                let histogram = metrics.request_duration.bind(&[
                    KeyValue::new("http.request.method", key.0),
                    KeyValue::new("http.response.status_code", i64::from(key.1)),
                    KeyValue::new("portcullis.route", self.route.clone()),
                ]);
                bound.push((key, histogram));
                bound.len() - 1
            }
        };
        bound[place].1.record(duration.as_secs_f64());
    }
}

/// The method, or `_OTHER`: a client must not make series by inventing methods.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_methods_share_one_series() {
        let metrics = Metrics::start().unwrap();
        let slots = RouteSlots::new("r");
        for method in ["FOO", "BAR", "GET"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            slots.record(&metrics, &method, StatusCode::OK, Duration::from_millis(1));
        }
        let page = metrics.render().unwrap();
        let counts: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
            .collect();
        assert_eq!(counts.len(), 2, "{page}");
        assert!(
            counts
                .iter()
                .any(|line| line.contains("_OTHER") && line.ends_with(" 2")),
            "{page}"
        );
    }
}
