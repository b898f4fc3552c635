//! What is measured of requests of policies' own, apart from the attempts of routes.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::metrics::{REQUEST_SECONDS, seconds};

/// Instruments of such requests.
pub struct OutcallMetrics {
    duration: Histogram<f64>,
}

impl OutcallMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: seconds(
                meter,
                "portcullis.policy.outcall.duration",
                "Requests of policies' own, by status class, failure, too-large or cancelled",
                REQUEST_SECONDS,
            ),
        }
    }

    /// One of `[policy, route, upstream]` has ended so.
    pub fn ended(
        &self,
        [policy, route, upstream]: [&str; 3],
        outcome: &'static str,
        took: Duration,
    ) {
        let labels = [
            KeyValue::new("portcullis.policy", policy.to_owned()),
            KeyValue::new("portcullis.route", route.to_owned()),
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
            KeyValue::new("portcullis.outcome", outcome),
        ];
        self.duration.record(took.as_secs_f64(), &labels);
    }
}
