//! What is measured of uses of policies beside their time: faults, hooks that were not called, limits.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter};

use super::metrics::counter;
use crate::policy::fault_circuits::CircuitReading;
use crate::wasm::Phase;

/// Instruments of uses of policies.
pub struct PolicyUseMetrics {
    faults: Counter<u64>,
    circuit_refused: Counter<u64>,
    limit_refused: Counter<u64>,
    on_log_dropped: Counter<u64>,
}

impl PolicyUseMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            faults: counter(
                meter,
                "portcullis.policy.faults",
                "Hooks that did not end well, by kind: trap, deadline, memory, limit, error, host, overloaded",
            ),
            circuit_refused: counter(
                meter,
                "portcullis.policy.circuit.refused",
                "Hooks that were not called because the fault circuit of the policy's use was open",
            ),
            limit_refused: counter(
                meter,
                "portcullis.policy.limit.refused",
                "What a policy was refused because of its limits, by limit: hooks (host_calls, handles), growth (table_elements), lines (log_lines), records (metric_series), requests (outcalls), bodies (outcall_body)",
            ),
            on_log_dropped: counter(
                meter,
                "portcullis.policy.on_log.dropped",
                "Exchanges whose on-log was not called, as too many were under way",
            ),
        }
    }

    /// A hook of a policy on a route did not end well.
    pub fn fault(&self, policy: &str, route: &str, phase: Phase, kind: &'static str) {
        let [policy, route, phase] = hook(policy, route, phase);
        let kind = KeyValue::new("portcullis.fault", kind);
        self.faults.add(1, &[policy, route, phase, kind]);
    }

    /// A hook of a policy on a route was not called: its circuit was open.
    pub fn circuit_refused(&self, policy: &str, route: &str, phase: Phase) {
        self.circuit_refused.add(1, &hook(policy, route, phase));
    }

    /// The policies of an exchange on a route were not asked `on-log`.
    pub fn on_log_dropped(&self, route: &str) {
        let labels = [KeyValue::new("portcullis.route", route.to_owned())];
        self.on_log_dropped.add(1, &labels);
    }

    /// A use of a policy was refused something because of that key of its limits.
    pub fn limit_refused(&self, policy: &str, route: &str, limit: &'static str) {
        self.limit_refused.add(1, &limited(policy, route, limit));
    }

    /// The same, for what happens often.
    pub fn bind_limit(&self, policy: &str, route: &str, limit: &'static str) -> LimitCounter {
        LimitCounter(self.limit_refused.bind(&limited(policy, route, limit)))
    }
}

/// Counts what a use of a policy was refused because of one key of its limits.
pub struct LimitCounter(BoundCounter<u64>);

impl LimitCounter {
    /// Counts where nobody reads.
    pub fn nowhere() -> Self {
        let meter = opentelemetry::global::meter("nowhere");
        Self(meter.u64_counter("nowhere").build().bind(&[]))
    }

    /// Once more.
    pub fn refused(&self) {
        self.0.add(1);
    }
}

fn limited(policy: &str, route: &str, limit: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("portcullis.policy", policy.to_owned()),
        KeyValue::new("portcullis.route", route.to_owned()),
        KeyValue::new("portcullis.limit", limit),
    ]
}

fn hook(policy: &str, route: &str, phase: Phase) -> [KeyValue; 3] {
    [
        KeyValue::new("portcullis.policy", policy.to_owned()),
        KeyValue::new("portcullis.route", route.to_owned()),
        KeyValue::new("portcullis.phase", phase.name()),
    ]
}

/// Shows the number of policies' instances as `read` finds it each time that the metrics are read.
pub(super) fn observe_instances(meter: &Meter, read: impl Fn() -> u64 + Send + Sync + 'static) {
    meter
        .u64_observable_gauge("portcullis.policy.instances")
        .with_description("Instances of policies in memory: in a hook, or pooled and idle")
        .with_callback(move |observer| observer.observe(read(), &[]))
        .build();
}

/// Shows fault circuits as `read` finds them each time that the metrics are read, so that one that is
/// gone has no series.
pub(super) fn observe_circuits(
    meter: &Meter,
    read: impl Fn() -> Vec<CircuitReading> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge("portcullis.policy.circuit.state")
        .with_description("The fault circuit of a policy's use: 0 closed, 1 half-open, 2 open")
        .with_callback(move |observer| {
            for reading in read() {
                let labels = [
                    KeyValue::new("portcullis.policy", reading.policy),
                    KeyValue::new("portcullis.route", reading.route),
                ];
                observer.observe(reading.state as u64, &labels);
            }
        })
        .build();
}
