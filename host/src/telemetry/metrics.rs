//! Every metric of the gateway, and who may open which of them.
//!
//! Names follow OpenTelemetry's HTTP conventions where they have one; the gateway's own begin with `portcullis.`.
//! Instruments are bound to their labels when a route or a policy use is made: a bound record costs a tenth of one
//! that looks its labels up. observability/METRICS.md lists all, and a test holds it to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, UpDownCounter};
use opentelemetry_sdk::metrics::data::ResourceMetrics;

use super::client::ClientCounters;
use super::config::{self, ConfigMetrics};
use super::downstream::{self, CertificateReading, DownstreamMetrics};
use super::families::Families;
use super::log;
use super::mirror::MirrorCounters;
use super::outcall::OutcallSeries;
use super::page::{PageFormat, encode};
use super::policy::PolicyCounters;
use super::policy_use::{self, UseSeries};
use super::process;
use super::redis::{self, BindingMetrics};
use super::route::RouteSeries;
use super::scope::{Scope, counter};
use super::scopes::{Held, Scopes};
use super::trace_metrics::TraceMetrics;
use super::upstream::{self, UpstreamSeries};
use super::use_readings::{self, UseReading};
use crate::capability::redis::BindingReading;
use crate::policy::fault_circuits::CircuitReading;
use crate::policy::info::PolicyInfo;
use crate::upstream::status::UpstreamStatus;

/// Series of each metric of the process: none has a label that a client, an upstream or a policy chooses.
const MAX_SERIES: usize = 256;
/// The label of requests that no route matched.
const UNROUTED: &str = "(none)";

/// All metrics of a gateway. What they measure holds its series; they go with the last who does.
pub struct Metrics {
    scopes: Arc<Scopes>,
    process: Arc<Scope>,
    routes: Held<RouteSeries>,
    unrouted: Arc<RouteSeries>,
    upstreams: Held<UpstreamSeries>,
    uses: Held<UseSeries>,
    policy_made: Held<PolicyCounters>,
    mirrors: Held<MirrorCounters>,
    outcalls: Held<OutcallSeries>,
    bindings: Held<BindingMetrics>,
    /// Of the config.
    pub config: ConfigMetrics,
    /// Of traces.
    pub traces: TraceMetrics,
    /// What clients were refused.
    pub client: ClientCounters,
    /// Of clients' connections.
    pub downstream: DownstreamMetrics,
    connections: UpDownCounter<i64>,
    access_log_dropped: Counter<u64>,
    /// What the log was told of metrics that are not as they should be.
    told: Mutex<BTreeSet<String>>,
}

/// The exporter or its registry refused to start.
#[derive(Debug, thiserror::Error)]
#[error("the metrics exporter does not start: {0}")]
pub struct MetricsError(pub(super) String);

impl Metrics {
    /// Of one gateway; several live in one process.
    pub fn start() -> Result<Self, MetricsError> {
        let scopes = Arc::<Scopes>::default();
        let process = Arc::new(Scope::new(Vec::new(), |_| MAX_SERIES)?);
        scopes.add(&process);
        process::observe(process.meter());
        announce_build(&process);
        observe_log(&process);
        let meter = process.meter();
        Ok(Self {
            unrouted: Arc::new(RouteSeries::new(&scopes, UNROUTED)),
            routes: Held::default(),
            upstreams: Held::default(),
            uses: Held::default(),
            policy_made: Held::default(),
            mirrors: Held::default(),
            outcalls: Held::default(),
            bindings: Held::default(),
            config: ConfigMetrics::new(meter),
            traces: TraceMetrics::new(meter),
            client: ClientCounters::new(meter),
            downstream: DownstreamMetrics::new(meter),
            connections: process.level(
                "portcullis.connections.active",
                "Client connections that are open",
            ),
            access_log_dropped: counter(
                meter,
                "portcullis.access_log.dropped",
                "Lines of the access log that were not written, by reason",
            ),
            told: Mutex::default(),
            process,
            scopes,
        })
    }

    /// The series of that route.
    pub fn route(&self, route: &str) -> Arc<RouteSeries> {
        let new = || RouteSeries::new(&self.scopes, route);
        self.routes.open(&[route], new)
    }

    /// The series of requests that no route matched.
    pub fn unrouted(&self) -> Arc<RouteSeries> {
        self.unrouted.clone()
    }

    /// The series of that upstream.
    pub fn upstream(&self, upstream: &str) -> Arc<UpstreamSeries> {
        let new = || UpstreamSeries::new(self.scopes.clone(), upstream);
        self.upstreams.open(&[upstream], new)
    }

    /// The series of that policy on that route.
    pub fn policy_use(&self, policy: &str, route: &str) -> Arc<UseSeries> {
        let new = || UseSeries::new(&self.scopes, policy, route);
        self.uses.open(&[policy, route], new)
    }

    /// What that policy makes on that route, `max_series` at most.
    pub fn policy_counters(
        &self,
        policy: &str,
        route: &str,
        max_series: usize,
    ) -> Arc<PolicyCounters> {
        let used = self.policy_use(policy, route);
        let new = || PolicyCounters::new(&self.scopes, (policy, route), max_series, &used);
        let counters = self.policy_made.open(&[policy, route], new);
        counters.bound(max_series);
        counters
    }

    /// Counters of that route's copies for that upstream.
    pub fn mirror(&self, route: &str, upstream: &str) -> Arc<MirrorCounters> {
        let new = || MirrorCounters::new(&self.scopes, route, upstream);
        self.mirrors.open(&[route, upstream], new)
    }

    /// The series of requests of a policy's own: of `[policy, route, upstream]`.
    pub fn outcall(&self, names: [&str; 3]) -> Arc<OutcallSeries> {
        let new = || OutcallSeries::new(&self.scopes, names);
        self.outcalls.open(&names, new)
    }

    /// The instruments of that Redis binding.
    pub fn redis_binding(&self, binding: &str) -> Arc<BindingMetrics> {
        let new = || BindingMetrics::new(&self.scopes, binding);
        self.bindings.open(&[binding], new)
    }

    /// So many lines of the access log were not written, for that reason.
    pub fn access_log_dropped(&self, lines: u64, reason: &'static str) {
        let reason = KeyValue::new("portcullis.reason", reason);
        self.access_log_dropped.add(lines, &[reason]);
    }

    /// A client's connection was opened (+1) or closed (-1).
    pub fn connection(&self, change: i64) {
        self.connections.add(change, &[]);
    }

    /// Shows the upstreams that `read` finds whenever the metrics are read.
    pub fn observe_upstreams(
        &self,
        read: impl Fn() -> Vec<UpstreamStatus> + Send + Sync + Clone + 'static,
    ) {
        upstream::observe(self.process.meter(), read);
    }

    /// Shows the fault circuits that `read` finds whenever the metrics are read.
    pub fn observe_fault_circuits(
        &self,
        read: impl Fn() -> Vec<CircuitReading> + Send + Sync + 'static,
    ) {
        policy_use::observe_circuits(self.process.meter(), read);
    }

    /// Shows the circuits of Redis bindings that `read` finds whenever the metrics are read.
    pub fn observe_redis_circuits(
        &self,
        read: impl Fn() -> Vec<BindingReading> + Send + Sync + 'static,
    ) {
        redis::observe_circuits(self.process.meter(), read);
    }

    /// Shows the number of policies' instances that `read` finds whenever the metrics are read.
    pub fn observe_instances(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        policy_use::observe_instances(self.process.meter(), read);
    }

    /// Shows the policies that `read` finds whenever the metrics are read.
    pub fn observe_policies(&self, read: impl Fn() -> Vec<PolicyInfo> + Send + Sync + 'static) {
        config::observe_policies(self.process.meter(), read);
    }

    /// Shows when the certificates that `read` finds end whenever the metrics are read.
    pub fn observe_certificates(
        &self,
        read: impl Fn() -> Vec<CertificateReading> + Send + Sync + 'static,
    ) {
        downstream::observe_certificates(self.process.meter(), read);
    }

    /// Shows how long each worker has been busy, by its number, as `read` finds it whenever the metrics are read.
    pub fn observe_workers(&self, read: impl Fn() -> Vec<Duration> + Send + Sync + 'static) {
        process::observe_workers(self.process.meter(), read);
    }

    /// The series in Prometheus' text format.
    pub fn render(&self) -> Result<String, MetricsError> {
        let page = encode(&self.families(), PageFormat::Text)?;
        String::from_utf8(page.into()).map_err(|error| MetricsError(error.to_string()))
    }

    /// The series as OpenTelemetry has them, for who sends them somewhere: one item for each thing that has series of
    /// its own, from when it first had one. Takes as long as a page: not for a worker.
    pub fn collect(&self) -> Vec<ResourceMetrics> {
        let scopes = self.scopes.held();
        let collected = scopes.iter().filter_map(|scope| scope.collect().ok());
        collected.collect()
    }

    /// What was counted of policies' uses, by policy and route.
    pub fn use_readings(&self) -> BTreeMap<(String, String), UseReading> {
        use_readings::read(&self.families().all)
    }

    /// All series at this moment.
    pub(super) fn families(&self) -> Families {
        let scopes = self.scopes.held();
        let families = Families::of(scopes.iter().map(|scope| &**scope));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in &families.overflowed {
            if told.insert(metric.clone()) {
                tracing::warn!(
                    metric,
                    "has no room for another series: some are put together, marked with otel_metric_overflow"
                );
            }
        }
        for metric in &families.left_out {
            if told.insert(metric.clone()) {
                tracing::warn!(
                    metric,
                    "is left out of the metrics: another one of policies has its name, or the name of one of its parts"
                );
            }
        }
        families
    }
}

fn announce_build(process: &Scope) {
    let info = process
        .meter()
        .u64_gauge("portcullis.build.info")
        .with_description("1, with the version as a label")
        .build();
    info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
}

fn observe_log(process: &Scope) {
    process
        .meter()
        .u64_observable_counter("portcullis.log.dropped")
        .with_description(
            "Lines of the log of the process that were not written, as nobody took them in time",
        )
        .with_callback(|observer| observer.observe(log::dropped(), &[]))
        .build();
}
