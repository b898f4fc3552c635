//! What clients were refused, and why.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// Counters of bounds that clients have met; the reason is the key in the config.
pub struct ClientCounters {
    requests: Counter<u64>,
    connections: Counter<u64>,
    timeouts: Counter<u64>,
}

impl ClientCounters {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, description: &'static str| {
            meter
                .u64_counter(name)
                .with_description(description)
                .build()
        };
        Self {
            requests: counter(
                "portcullis.requests.refused",
                "Requests beyond a limit, by the limit",
            ),
            connections: counter(
                "portcullis.connections.refused",
                "Connections beyond a limit, by the limit",
            ),
            timeouts: counter(
                "portcullis.connections.timed_out",
                "Connections and HTTP/2 streams closed because the client took too long, by the timeout",
            ),
        }
    }

    /// A request went beyond that limit.
    pub fn refused_request(&self, limit: &'static str) {
        self.requests.add(1, &reason(limit));
    }

    /// A connection went beyond that limit; `files` when the system had no file descriptor for it.
    pub fn refused_connection(&self, limit: &'static str) {
        self.connections.add(1, &reason(limit));
    }

    /// A connection was closed by that timeout.
    pub fn timed_out(&self, timeout: &'static str) {
        self.timeouts.add(1, &reason(timeout));
    }
}

fn reason(key: &'static str) -> [KeyValue; 1] {
    [KeyValue::new("portcullis.reason", key)]
}
