//! What is measured of upstreams beside each endpoint's attempts: outcomes, retries, ejections, health, circuit.

use std::sync::Arc;

use http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter, ObservableGauge};

use super::attempt::EndpointSeries;
use super::scope::Scope;
use super::scopes::{Held, Scopes};
use crate::upstream::status::UpstreamStatus;

/// Series of each metric of an upstream: it may be tried again because of any status.
const MAX_SERIES: usize = 200;
/// Of answered attempts.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The series of one upstream, for all workers.
pub struct UpstreamSeries {
    name: String,
    scopes: Arc<Scopes>,
    scope: Arc<Scope>,
    endpoints: Held<EndpointSeries>,
    answered: [BoundCounter<u64>; CLASSES.len()],
}

impl UpstreamSeries {
    pub(super) fn new(scopes: Arc<Scopes>, upstream: &str) -> Self {
        let labels = vec![KeyValue::new("portcullis.upstream", upstream.to_owned())];
        let scope = scopes.open(labels, |_| MAX_SERIES);
        let attempts = attempts(&scope);
        let answered = CLASSES.map(|class| attempts.bind(&outcome(&scope, class)));
        Self {
            name: upstream.to_owned(),
            scopes,
            scope,
            endpoints: Held::default(),
            answered,
        }
    }

    /// The series of attempts at one endpoint of the config.
    pub fn endpoint(&self, host: &str, port: u16) -> Arc<EndpointSeries> {
        let names = [host, &port.to_string()];
        let new = || EndpointSeries::new(&self.scopes, &self.name, host, port);
        self.endpoints.open(&names, new)
    }

    /// An attempt was answered with that status.
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answered.get(class) {
            counter.add(1);
        }
    }

    /// An attempt ended without a response.
    pub fn attempt_failed(&self, failure: &'static str) {
        attempts(&self.scope).add(1, &outcome(&self.scope, failure));
    }

    /// An attempt is made because of `reason`: a status or a failure's name.
    pub fn retry(&self, reason: String) {
        let retries = self.scope.counter(
            "portcullis.retries",
            "Attempts after the first, by what made them necessary",
        );
        let reason = KeyValue::new("portcullis.reason", reason);
        retries.add(1, &self.scope.labelled([reason]));
    }

    /// A retry was not made for want of budget.
    pub fn retry_refused(&self) {
        let refused = self.scope.counter(
            "portcullis.retries.refused",
            "Retries that the upstream's budget did not allow",
        );
        refused.add(1, self.scope.labels());
    }

    /// An endpoint was ejected for that reason.
    pub fn ejected(&self, reason: &'static str) {
        let ejections = self.scope.counter(
            "portcullis.endpoint.ejections",
            "Endpoints that were left alone for a while, by reason",
        );
        let reason = KeyValue::new("portcullis.reason", reason);
        ejections.add(1, &self.scope.labelled([reason]));
    }

    /// A request was not sent because of that key of the upstream's circuit.
    pub fn circuit_refused(&self, limit: &'static str) {
        let refused = self.scope.counter(
            "portcullis.upstream.circuit.refused",
            "Requests that were not sent because of the upstream's circuit, by the limit that was reached",
        );
        let limit = KeyValue::new("portcullis.limit", limit);
        refused.add(1, &self.scope.labelled([limit]));
    }
}

fn attempts(scope: &Scope) -> Counter<u64> {
    scope.counter(
        "portcullis.upstream.attempts",
        "Attempts at upstreams, by status class or failure",
    )
}

fn outcome(scope: &Scope, outcome: &'static str) -> Vec<KeyValue> {
    scope.labelled([KeyValue::new("portcullis.outcome", outcome)])
}

/// Shows upstreams as `read` finds them each time that the metrics are read, so that one that is gone has no series.
pub(super) fn observe(
    meter: &Meter,
    read: impl Fn() -> Vec<UpstreamStatus> + Send + Sync + Clone + 'static,
) {
    endpoint_gauge(
        meter,
        (
            "portcullis.endpoint.health",
            "1 if the endpoint's health checks say that it is well, or have not said otherwise",
        ),
        read.clone(),
        |endpoint| endpoint.healthy,
    );
    endpoint_gauge(
        meter,
        (
            "portcullis.endpoint.ejected",
            "1 while the endpoint is left alone because of what it answered",
        ),
        read.clone(),
        |endpoint| endpoint.ejected_for.is_some(),
    );
    circuit_gauge(
        meter,
        (
            "portcullis.upstream.requests.active",
            "Requests that are under way to the upstream, those that wait for a connection included",
        ),
        read.clone(),
        |upstream| upstream.circuit.requests,
    );
    circuit_gauge(
        meter,
        (
            "portcullis.upstream.pending",
            "Requests that wait for a connection to the upstream",
        ),
        read.clone(),
        |upstream| upstream.circuit.pending,
    );
    circuit_gauge(
        meter,
        (
            "portcullis.upstream.connections.active",
            "HTTP/1.1 connections to the upstream that a request uses",
        ),
        read,
        |upstream| upstream.circuit.connections,
    );
}

fn endpoint_gauge(
    meter: &Meter,
    (name, description): (&'static str, &'static str),
    read: impl Fn() -> Vec<UpstreamStatus> + Send + Sync + 'static,
    value: fn(&crate::upstream::status::EndpointStatus) -> bool,
) -> ObservableGauge<u64> {
    let gauge = meter
        .u64_observable_gauge(name)
        .with_description(description);
    gauge
        .with_callback(move |observer| {
            for upstream in read() {
                for endpoint in upstream.endpoints {
                    let labels = [
                        KeyValue::new("portcullis.endpoint", endpoint.name.clone()),
                        KeyValue::new("portcullis.upstream", upstream.name.clone()),
                    ];
                    observer.observe(u64::from(value(&endpoint)), &labels);
                }
            }
        })
        .build()
}

fn circuit_gauge(
    meter: &Meter,
    (name, description): (&'static str, &'static str),
    read: impl Fn() -> Vec<UpstreamStatus> + Send + Sync + 'static,
    value: fn(&UpstreamStatus) -> u32,
) -> ObservableGauge<u64> {
    let gauge = meter
        .u64_observable_gauge(name)
        .with_description(description);
    gauge
        .with_callback(move |observer| {
            for upstream in read() {
                let labels = [KeyValue::new("portcullis.upstream", upstream.name.clone())];
                observer.observe(u64::from(value(&upstream)), &labels);
            }
        })
        .build()
}
