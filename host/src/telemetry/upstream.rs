//! What is measured of upstreams beside their attempts: health, ejections, refused retries.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::metrics::counter;

/// Instruments of upstreams.
pub struct UpstreamMetrics {
    ejections: Counter<u64>,
    retries_refused: Counter<u64>,
}

/// How an endpoint is, when the metrics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointReading {
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint's address.
    pub endpoint: String,
    /// What the health checks say.
    pub healthy: bool,
    /// It is left alone because of what it answered.
    pub ejected: bool,
}

impl UpstreamMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            ejections: counter(
                meter,
                "portcullis.endpoint.ejections",
                "Endpoints that were left alone for a while, by reason",
            ),
            retries_refused: counter(
                meter,
                "portcullis.retries.refused",
                "Retries that the upstream's budget did not allow",
            ),
        }
    }

    /// An endpoint was ejected for that reason.
    pub fn ejected(&self, upstream: &str, reason: &'static str) {
        let labels = [
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
            KeyValue::new("portcullis.reason", reason),
        ];
        self.ejections.add(1, &labels);
    }

    /// A retry was not made for want of budget.
    pub fn retry_refused(&self, upstream: &str) {
        self.retries_refused.add(
            1,
            &[KeyValue::new("portcullis.upstream", upstream.to_owned())],
        );
    }
}

/// Shows endpoints as `read` finds them each time that the metrics are read, so that one that is gone
/// has no series.
pub(super) fn observe(
    meter: &Meter,
    read: impl Fn() -> Vec<EndpointReading> + Send + Sync + Clone + 'static,
) {
    let gauge = |name, description, value: fn(&EndpointReading) -> bool| {
        let read = read.clone();
        let gauge = meter
            .u64_observable_gauge(name)
            .with_description(description);
        gauge
            .with_callback(move |observer| {
                for reading in read() {
                    let labels = [
                        KeyValue::new("portcullis.upstream", reading.upstream.clone()),
                        KeyValue::new("portcullis.endpoint", reading.endpoint.clone()),
                    ];
                    observer.observe(u64::from(value(&reading)), &labels);
                }
            })
            .build();
    };
    gauge(
        "portcullis.endpoint.health",
        "1 if the endpoint's health checks say that it is well, or have not said otherwise",
        |reading| reading.healthy,
    );
    gauge(
        "portcullis.endpoint.ejected",
        "1 while the endpoint is left alone because of what it answered",
        |reading| reading.ejected,
    );
}
