//! What is measured of Redis bindings: their calls, connections and circuits.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Meter};

use super::scope::Scope;
use super::scopes::Scopes;
use crate::capability::redis::BindingReading;

/// Seconds; a server nearby takes a tenth of a millisecond, a deadline is 10 s at most.
const CALL_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// With what was asked for.
    Answered = 0,
    /// With an error of the server about the call.
    Server = 1,
    /// The server could not be reached, or could not serve.
    Unavailable = 2,
    /// Without an answer within the deadline.
    TimedOut = 3,
    /// At once, as the circuit was open.
    CircuitOpen = 4,
}

impl CallOutcome {
    const ALL: [Self; 5] = [
        Self::Answered,
        Self::Server,
        Self::Unavailable,
        Self::TimedOut,
        Self::CircuitOpen,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Server => "server",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::CircuitOpen => "circuit-open",
        }
    }
}

/// The instruments of one binding.
pub struct BindingMetrics {
    calls: [BoundHistogram<f64>; CallOutcome::ALL.len()],
    connected: BoundCounter<u64>,
    failed: BoundCounter<u64>,
    _scope: Arc<Scope>,
}

impl BindingMetrics {
    pub(super) fn new(scopes: &Scopes, binding: &str) -> Self {
        let labels = vec![KeyValue::new("portcullis.binding", binding.to_owned())];
        let scope = scopes.open(labels, |_| 10);
        let calls = scope.seconds(
            "portcullis.redis.call.duration",
            "Calls of policies to Redis, by outcome: answered, server (it refused the call), unavailable, timed-out, circuit-open",
            CALL_SECONDS,
        );
        let connections = scope.counter(
            "portcullis.redis.connections",
            "Attempts to connect to Redis, by outcome: connected, failed",
        );
        let labels = |outcome| scope.labelled([KeyValue::new("portcullis.outcome", outcome)]);
        Self {
            calls: CallOutcome::ALL.map(|outcome| calls.bind(&labels(outcome.name()))),
            connected: connections.bind(&labels("connected")),
            failed: connections.bind(&labels("failed")),
            _scope: scope,
        }
    }

    /// A call has ended so.
    pub fn ended(&self, outcome: CallOutcome, took: Duration) {
        self.calls[outcome as usize].record(took.as_secs_f64());
    }

    /// A connection was made.
    pub fn connected(&self) {
        self.connected.add(1);
    }

    /// An attempt to connect has failed.
    pub fn connection_failed(&self) {
        self.failed.add(1);
    }
}

/// Shows the circuits of bindings as `read` finds them each time that the metrics are read.
pub(super) fn observe_circuits(
    meter: &Meter,
    read: impl Fn() -> Vec<BindingReading> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge("portcullis.redis.circuit.state")
        .with_description("The circuit of a Redis binding: 0 closed, 1 half-open, 2 open")
        .with_callback(move |observer| {
            for reading in read() {
                let labels = [KeyValue::new("portcullis.binding", reading.binding)];
                observer.observe(reading.circuit as u64, &labels);
            }
        })
        .build();
}
