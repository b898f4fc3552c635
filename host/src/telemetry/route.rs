//! What is measured of a route's requests.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Version};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Histogram};

use super::scope::Scope;
use super::scopes::Scopes;
use super::slots::Slots;
use super::words;

/// Seconds; the boundaries of OpenTelemetry's HTTP conventions, with finer ones below.
pub(super) const REQUEST_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];
/// Seconds; what the gateway adds is counted in microseconds.
const OVERHEAD_SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
];
/// Series of each metric of a route: an upstream may answer with any status.
const MAX_SERIES: usize = 400;

/// The series of one route, for all workers.
pub struct RouteSeries {
    scope: Arc<Scope>,
    active: BoundUpDownCounter<i64>,
}

/// A request that has ended.
#[derive(Debug)]
pub struct Served<'a> {
    /// As the client sent it.
    pub method: &'a Method,
    /// In which version of HTTP.
    pub version: Version,
    /// Of the client's connection: `http` or `https`.
    pub scheme: &'static str,
    /// What it was answered with.
    pub status: StatusCode,
    /// The stable code of what kept it from ending well.
    pub error: Option<&'static str>,
    /// From its head to the end of its response.
    pub total: Duration,
    /// The part of the time to the response's head that the gateway and its policies took; `None`: there was no
    /// response.
    pub overhead: Option<Duration>,
}

type Key = (
    &'static str,
    u16,
    &'static str,
    &'static str,
    Option<&'static str>,
);

impl RouteSeries {
    pub(super) fn new(scopes: &Scopes, route: &str) -> Self {
        let labels = vec![KeyValue::new("portcullis.route", route.to_owned())];
        let scope = scopes.open(labels, |_| MAX_SERIES);
        let active = scope.level(
            "portcullis.requests.active",
            "Requests under way, until their responses have ended",
        );
        let active = active.bind(scope.labels());
        Self { scope, active }
    }

    /// The policies of an exchange were not asked `on-log`.
    pub fn on_log_dropped(&self) {
        let dropped = self.scope.counter(
            "portcullis.policy.on_log.dropped",
            "Exchanges whose on-log was not called, as too many were under way",
        );
        dropped.add(1, self.scope.labels());
    }

    fn duration(&self) -> Histogram<f64> {
        self.scope.seconds(
            "http.server.request.duration",
            "Time from a request's head to the end of its response",
            REQUEST_SECONDS,
        )
    }

    fn overhead(&self) -> BoundHistogram<f64> {
        let overhead = self.scope.seconds(
            "portcullis.overhead.duration",
            "Time from a request's head to its response's, without attempts at upstreams and the pauses between them",
            OVERHEAD_SECONDS,
        );
        overhead.bind(self.scope.labels())
    }

    fn labels(&self, (method, status, scheme, version, error): Key) -> Vec<KeyValue> {
        let mut labels = self.scope.labelled([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.response.status_code", i64::from(status)),
            KeyValue::new("network.protocol.version", version),
            KeyValue::new("url.scheme", scheme),
        ]);
        // Semantic conventions: the status as text where nothing better is known, and only of the server's failures.
        let error = match error {
            Some(code) => Some(KeyValue::new("error.type", code)),
            None => (status >= 500).then(|| KeyValue::new("error.type", status.to_string())),
        };
        // `e` comes before all others.
        labels.splice(0..0, error);
        labels
    }
}

/// One worker's access to a route's series.
pub struct RouteSlots {
    series: Arc<RouteSeries>,
    durations: Slots<Key>,
    overhead: OnceCell<BoundHistogram<f64>>,
}

impl RouteSlots {
    /// For one worker.
    pub fn new(series: Arc<RouteSeries>) -> Self {
        Self {
            series,
            durations: Slots::default(),
            overhead: OnceCell::new(),
        }
    }

    /// A request of that route begins.
    pub fn begins(&self) {
        self.series.active.add(1);
    }

    /// A request that has begun has ended.
    pub fn ends(&self) {
        self.series.active.add(-1);
    }

    /// Records a request that has ended.
    pub fn record(&self, served: &Served<'_>) {
        let key = (
            words::method(served.method),
            served.status.as_u16(),
            served.scheme,
            words::version(served.version),
            served.error,
        );
        self.durations.record(
            key,
            served.total.as_secs_f64(),
            || self.series.duration(),
            || self.series.labels(key),
        );
        if let Some(overhead) = served.overhead {
            let histogram = self.overhead.get_or_init(|| self.series.overhead());
            histogram.record(overhead.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn served(method: &Method) -> Served<'_> {
        Served {
            method,
            version: Version::HTTP_11,
            scheme: "http",
            status: StatusCode::OK,
            error: None,
            total: Duration::from_millis(1),
            overhead: Some(Duration::from_micros(20)),
        }
    }

    fn lines<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
        let named = page.lines().filter(|line| line.starts_with(name));
        named.collect()
    }

    #[test]
    fn invented_methods_share_one_series() {
        let metrics = Metrics::start().unwrap();
        let slots = RouteSlots::new(metrics.route("r"));
        for method in ["FOO", "BAR", "GET"] {
            slots.record(&served(&Method::from_bytes(method.as_bytes()).unwrap()));
        }
        let page = metrics.render().unwrap();
        let counts = lines(&page, "http_server_request_duration_seconds_count");
        assert_eq!(counts.len(), 2, "{page}");
        let other = |line: &&str| line.contains("_OTHER") && line.ends_with(" 2");
        assert!(counts.iter().any(other), "{page}");
    }

    #[test]
    fn a_failure_is_named_by_its_code_and_else_by_a_status_of_the_servers() {
        let metrics = Metrics::start().unwrap();
        let slots = RouteSlots::new(metrics.route("r"));
        for (status, error) in [(200, None), (404, None), (502, None), (502, Some("reset"))] {
            let status = StatusCode::from_u16(status).unwrap();
            slots.record(&Served {
                status,
                error,
                ..served(&Method::GET)
            });
        }
        let page = metrics.render().unwrap();
        let counts = lines(&page, "http_server_request_duration_seconds_count");
        let named = |line: &&str| line.split("error_type=\"").nth(1).map(str::to_owned);
        let mut types: Vec<String> = counts.iter().filter_map(named).collect();
        types
            .iter_mut()
            .for_each(|text| text.truncate(text.find('"').unwrap()));
        types.sort();
        assert_eq!(types, ["502", "reset"], "{page}");
    }

    #[test]
    fn the_series_of_a_route_go_with_it_and_go_on_where_it_stays() {
        let metrics = Metrics::start().unwrap();
        let (kept, gone) = (metrics.route("kept"), metrics.route("gone"));
        for series in [&kept, &gone] {
            let slots = RouteSlots::new(series.clone());
            slots.begins();
            slots.record(&served(&Method::GET));
        }
        // A reload: the next revision finds the route before the last one lets go of it.
        let next = metrics.route("kept");
        drop((kept, gone));
        let slots = RouteSlots::new(next);
        slots.record(&served(&Method::GET));
        let page = metrics.render().unwrap();
        assert!(!page.contains("gone"), "{page}");
        let counts = lines(&page, "http_server_request_duration_seconds_count");
        assert_eq!(counts.len(), 1, "{page}");
        assert!(counts[0].ends_with(" 2"), "{page}");
        let active = lines(&page, "portcullis_requests_active{");
        assert_eq!(
            active,
            [
                "portcullis_requests_active{portcullis_route=\"(none)\"} 0",
                "portcullis_requests_active{portcullis_route=\"kept\"} 1"
            ]
        );
    }

    #[test]
    fn series_beyond_the_limit_are_put_together_and_told_of() {
        let metrics = Metrics::start().unwrap();
        let slots = RouteSlots::new(metrics.route("r"));
        for status in 100..600 {
            let status = StatusCode::from_u16(status).unwrap();
            slots.record(&Served {
                status,
                ..served(&Method::GET)
            });
        }
        let page = metrics.render().unwrap();
        let counts = lines(&page, "http_server_request_duration_seconds_count");
        assert_eq!(counts.len(), MAX_SERIES + 1);
        let overflow = "http_server_request_duration_seconds_count{otel_metric_overflow=\"true\",portcullis_route=\"r\"} 100";
        assert!(counts.contains(&overflow), "{counts:?}");
        assert!(
            page.contains("\nportcullis_metrics_overflowed 1\n"),
            "{page}"
        );
    }
}
