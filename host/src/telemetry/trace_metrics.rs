//! What is measured of traces: how many spans went out, and how many were lost.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::scope::counter;

/// Counters of spans.
pub struct TraceMetrics {
    exported: Counter<u64>,
    dropped: Counter<u64>,
}

impl TraceMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            exported: counter(
                meter,
                "portcullis.traces.exported",
                "Spans that the collector has taken",
            ),
            dropped: counter(
                meter,
                "portcullis.traces.dropped",
                "Spans that were lost, by reason: queue-full, undelivered (the collector could not be reached, or could not take them), refused (by the collector), span-limit (of one trace), stopped",
            ),
        }
    }

    /// The collector has taken so many spans.
    pub fn exported(&self, spans: u64) {
        self.exported.add(spans, &[]);
    }

    /// So many spans are lost, for that reason.
    pub fn dropped(&self, spans: u64, reason: &'static str) {
        if spans > 0 {
            self.dropped
                .add(spans, &[KeyValue::new("portcullis.reason", reason)]);
        }
    }
}
