//! What became of the copies of requests that mirrors get.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter};

use super::metrics::counter;

/// Instruments of mirrors.
pub struct MirrorMetrics {
    requests: Counter<u64>,
}

/// Counters of one route's mirror.
pub struct MirrorCounters {
    sent: BoundCounter<u64>,
    dropped: BoundCounter<u64>,
    failed: BoundCounter<u64>,
}

impl MirrorMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            requests: counter(
                meter,
                "portcullis.mirror.requests",
                "Copies of requests, by what became of them: sent, dropped, failed",
            ),
        }
    }

    /// The counters of a route's mirror.
    pub fn bind(&self, route: &str, upstream: &str) -> MirrorCounters {
        let bind = |outcome: &'static str| {
            self.requests.bind(&[
                KeyValue::new("portcullis.route", route.to_owned()),
                KeyValue::new("portcullis.upstream", upstream.to_owned()),
                KeyValue::new("portcullis.outcome", outcome),
            ])
        };
        MirrorCounters {
            sent: bind("sent"),
            dropped: bind("dropped"),
            failed: bind("failed"),
        }
    }
}

impl MirrorCounters {
    /// A copy was answered.
    pub fn sent(&self) {
        self.sent.add(1);
    }

    /// A copy was not sent: too many in flight, or its body was too large or incomplete.
    pub fn dropped(&self) {
        self.dropped.add(1);
    }

    /// A copy brought no answer in time.
    pub fn failed(&self) {
        self.failed.add(1);
    }
}
