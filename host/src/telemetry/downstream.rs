//! Metrics of the clients' side: what ends connections, and certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// Counters of the clients' connections.
pub struct DownstreamMetrics {
    closed: Counter<u64>,
    failed_handshakes: Counter<u64>,
    certificate_reloads: Counter<u64>,
}

impl DownstreamMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name, description| {
            let builder = meter.u64_counter(name);
            builder.with_description(description).build()
        };
        Self {
            closed: counter(
                "portcullis.connections.closed",
                "Client connections that the gateway closed because of what the client sent, by reason",
            ),
            failed_handshakes: counter(
                "portcullis.tls.handshakes.failed",
                "TLS handshakes that clients did not complete, by kind",
            ),
            certificate_reloads: counter(
                "portcullis.tls.certificate.reloads",
                "Changes of certificates' files, by result",
            ),
        }
    }

    /// A connection was closed for `reason`: `resets` or `frames` without content beyond HTTP/2's budget.
    pub fn connection_closed(&self, reason: &'static str) {
        self.closed
            .add(1, &[KeyValue::new("portcullis.reason", reason)]);
    }

    /// A handshake ended as `kind`: `failed`, `timeout`.
    pub fn handshake_failed(&self, kind: &'static str) {
        self.failed_handshakes
            .add(1, &[KeyValue::new("portcullis.kind", kind)]);
    }

    /// Files of a listener have changed, and were taken over (`ok`) or not (`rejected`).
    pub fn certificates_reloaded(&self, listener: &str, result: &'static str) {
        let labels = [
            KeyValue::new("portcullis.listener", listener.to_owned()),
            KeyValue::new("portcullis.result", result),
        ];
        self.certificate_reloads.add(1, &labels);
    }
}

/// A certificate that a listener shows, when the metrics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateReading {
    /// The listener's name.
    pub listener: String,
    /// The name of the file that it is in.
    pub certificate: String,
    /// When it ends.
    pub ends: SystemTime,
}

/// Shows certificates as `read` finds them each time that the metrics are read.
pub(super) fn observe_certificates(
    meter: &Meter,
    read: impl Fn() -> Vec<CertificateReading> + Send + Sync + 'static,
) {
    meter
        .f64_observable_gauge("portcullis.tls.certificate.expiry.timestamp")
        .with_unit("s")
        .with_description("When a listener's certificate ends, since 1970")
        .with_callback(move |observer| {
            for reading in read() {
                let labels = [
                    KeyValue::new("portcullis.certificate", reading.certificate),
                    KeyValue::new("portcullis.listener", reading.listener),
                ];
                let since = reading.ends.duration_since(UNIX_EPOCH).unwrap_or_default();
                observer.observe(since.as_secs_f64(), &labels);
            }
        })
        .build();
}
