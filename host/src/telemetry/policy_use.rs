//! What is measured of a use of a policy: its hooks, their faults, what was refused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Meter};

use super::scope::Scope;
use super::scopes::Scopes;
use crate::policy::fault_circuits::CircuitReading;
use crate::wasm::Phase;

/// Seconds; a policy takes microseconds.
const POLICY_SECONDS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.05, 0.1,
];
/// Series of each metric of a use: hooks times kinds of faults.
const MAX_SERIES: usize = 64;
/// All verdicts of all hooks.
const VERDICTS: [&str; 7] = [
    "next", "done", "respond", "replace", "abstain", "deliver", "retry",
];

/// The series of one policy on one route, for all workers.
pub struct UseSeries {
    scope: Arc<Scope>,
    hooks: [HookSeries; Phase::ALL.len()],
}

/// Of one hook; what has not occurred has no series.
#[derive(Default)]
struct HookSeries {
    duration: OnceLock<BoundHistogram<f64>>,
    verdicts: [OnceLock<BoundCounter<u64>>; VERDICTS.len()],
}

impl UseSeries {
    pub(super) fn new(scopes: &Scopes, policy: &str, route: &str) -> Self {
        let labels = vec![
            KeyValue::new("portcullis.policy", policy.to_owned()),
            KeyValue::new("portcullis.route", route.to_owned()),
        ];
        Self {
            scope: scopes.open(labels, |_| MAX_SERIES),
            hooks: Default::default(),
        }
    }

    /// A hook took that long.
    pub fn timed(&self, phase: Phase, took: Duration) {
        let hook = &self.hooks[phase as usize];
        let duration = hook.duration.get_or_init(|| self.bind_duration(phase));
        duration.record(took.as_secs_f64());
    }

    /// A hook has ended well, with that verdict.
    pub fn verdict(&self, phase: Phase, verdict: &'static str) {
        let Some(place) = VERDICTS.iter().position(|known| *known == verdict) else {
            return;
        };
        let counter = &self.hooks[phase as usize].verdicts[place];
        counter
            .get_or_init(|| self.bind_verdict(phase, verdict))
            .add(1);
    }

    /// A hook did not end well.
    pub fn fault(&self, phase: Phase, kind: &'static str) {
        let faults = self.scope.counter(
            "portcullis.policy.faults",
            "Hooks that did not end well, by kind: trap, deadline, memory, limit, error, host, overloaded",
        );
        let kind = KeyValue::new("portcullis.fault", kind);
        faults.add(1, &self.scope.labelled([kind, of(phase)]));
    }

    /// A hook was not called: the use's circuit was open.
    pub fn circuit_refused(&self, phase: Phase) {
        let refused = self.scope.counter(
            "portcullis.policy.circuit.refused",
            "Hooks that were not called because the fault circuit of the policy's use was open",
        );
        refused.add(1, &self.scope.labelled([of(phase)]));
    }

    /// It was refused something because of that key of its limits.
    pub fn limit_refused(&self, limit: &'static str) {
        self.limited().add(1, &self.limit_labels(limit));
    }

    /// The same, for what happens often.
    pub fn bind_limit(self: &Arc<Self>, limit: &'static str) -> LimitCounter {
        LimitCounter {
            counter: self.limited().bind(&self.limit_labels(limit)),
            _series: Some(self.clone()),
        }
    }

    fn bind_duration(&self, phase: Phase) -> BoundHistogram<f64> {
        let duration = self.scope.seconds(
            "portcullis.policy.duration",
            "Time of one hook of a policy, host calls included",
            POLICY_SECONDS,
        );
        duration.bind(&self.scope.labelled([of(phase)]))
    }

    fn bind_verdict(&self, phase: Phase, verdict: &'static str) -> BoundCounter<u64> {
        let verdicts = self.scope.counter(
            "portcullis.policy.verdicts",
            "Hooks that ended well, by what they answered",
        );
        let verdict = KeyValue::new("portcullis.verdict", verdict);
        verdicts.bind(&self.scope.labelled([of(phase), verdict]))
    }

    fn limited(&self) -> Counter<u64> {
        self.scope.counter(
            "portcullis.policy.limit.refused",
            "What a policy was refused because of its limits, by limit: hooks (host_calls, handles), growth (table_elements), lines (log_lines), records (metric_series), requests (outcalls), bodies (outcall_body)",
        )
    }

    fn limit_labels(&self, limit: &'static str) -> Vec<KeyValue> {
        let limit = KeyValue::new("portcullis.limit", limit);
        self.scope.labelled([limit])
    }
}

fn of(phase: Phase) -> KeyValue {
    KeyValue::new("portcullis.phase", phase.name())
}

/// Counts what a use of a policy was refused because of one key of its limits.
pub struct LimitCounter {
    counter: BoundCounter<u64>,
    /// Shown as long as this counts.
    _series: Option<Arc<UseSeries>>,
}

impl LimitCounter {
    /// Counts where nobody reads.
    pub fn nowhere() -> Self {
        let meter = opentelemetry::global::meter("nowhere");
        Self {
            counter: meter.u64_counter("nowhere").build().bind(&[]),
            _series: None,
        }
    }

    /// Once more.
    pub fn refused(&self) {
        self.counter.add(1);
    }
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
