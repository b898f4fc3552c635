//! What is measured of attempts at one endpoint of an upstream.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

use super::route::REQUEST_SECONDS;
use super::scope::Scope;
use super::scopes::Scopes;
use super::slots::Slots;
use super::words;

/// Series of one endpoint: it may answer with any status.
const MAX_SERIES: usize = 200;

/// The series of one endpoint of the config, for all workers.
pub struct EndpointSeries {
    scope: Arc<Scope>,
}

/// One worker's access to them.
pub struct AttemptSlots {
    series: Arc<EndpointSeries>,
    durations: Slots<Key>,
}

/// Method, and the status or the failure.
type Key = (&'static str, Result<u16, &'static str>);

impl EndpointSeries {
    /// `host` and `port` are the config's, whatever addresses they lead to.
    pub(super) fn new(scopes: &Scopes, upstream: &str, host: &str, port: u16) -> Self {
        let labels = vec![
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
            KeyValue::new("server.address", host.to_owned()),
            KeyValue::new("server.port", i64::from(port)),
        ];
        let scope = scopes.open(labels, |_| MAX_SERIES);
        Self { scope }
    }

    fn duration(&self) -> Histogram<f64> {
        self.scope.seconds(
            "http.client.request.duration",
            "Time of one attempt at an upstream, from its start to its response's head or its failure",
            REQUEST_SECONDS,
        )
    }

    fn labels(&self, (method, outcome): Key) -> Vec<KeyValue> {
        let method = KeyValue::new("http.request.method", method);
        match outcome {
            Ok(status) => {
                let code = KeyValue::new("http.response.status_code", i64::from(status));
                let mut labels = self.scope.labelled([method, code]);
                // Semantic conventions: to a client 4xx is a failure, too.
                let failed = status >= 400;
                let error = failed.then(|| KeyValue::new("error.type", status.to_string()));
                labels.splice(0..0, error);
                labels
            }
            Err(failure) => {
                let error = KeyValue::new("error.type", failure);
                self.scope.labelled([error, method])
            }
        }
    }
}

impl AttemptSlots {
    /// For one worker.
    pub fn new(series: Arc<EndpointSeries>) -> Self {
        Self {
            series,
            durations: Slots::default(),
        }
    }

    /// Records an attempt that has brought a response's head, or failed so.
    pub fn record(
        &self,
        method: &Method,
        outcome: Result<StatusCode, &'static str>,
        took: Duration,
    ) {
        let key = (words::method(method), outcome.map(|status| status.as_u16()));
        self.durations.record(
            key,
            took.as_secs_f64(),
            || self.series.duration(),
            || self.series.labels(key),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn attempts_are_told_apart_by_endpoint_method_and_outcome() {
        let metrics = Metrics::start().unwrap();
        let upstream = metrics.upstream("u");
        let slots = AttemptSlots::new(upstream.endpoint("a.test", 80));
        for outcome in [
            Ok(StatusCode::OK),
            Ok(StatusCode::BAD_GATEWAY),
            Err("reset"),
        ] {
            slots.record(&Method::GET, outcome, Duration::from_millis(3));
        }
        let page = metrics.render().unwrap();
        let counts = page
            .lines()
            .filter(|line| line.starts_with("http_client_request_duration_seconds_count"));
        let counts: Vec<&str> = counts.collect();
        let place = r#"portcullis_upstream="u",server_address="a.test",server_port="80""#;
        let name = "http_client_request_duration_seconds_count";
        assert_eq!(
            counts,
            [
                format!(
                    "{name}{{error_type=\"502\",http_request_method=\"GET\",http_response_status_code=\"502\",{place}}} 1"
                ),
                format!("{name}{{error_type=\"reset\",http_request_method=\"GET\",{place}}} 1"),
                format!(
                    "{name}{{http_request_method=\"GET\",http_response_status_code=\"200\",{place}}} 1"
                ),
            ]
        );
    }
}
