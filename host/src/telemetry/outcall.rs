//! What is measured of requests of policies' own, apart from the attempts of routes.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;

use super::route::REQUEST_SECONDS;
use super::scope::Scope;
use super::scopes::Scopes;

/// Series of one policy's requests to one upstream: status classes and failures.
const MAX_SERIES: usize = 64;

/// The series of one policy's requests to one upstream, on one route.
pub struct OutcallSeries(Arc<Scope>);

impl OutcallSeries {
    pub(super) fn new(scopes: &Scopes, [policy, route, upstream]: [&str; 3]) -> Self {
        let labels = vec![
            KeyValue::new("portcullis.policy", policy.to_owned()),
            KeyValue::new("portcullis.route", route.to_owned()),
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
        ];
        Self(scopes.open(labels, |_| MAX_SERIES))
    }

    /// One has ended so.
    pub fn ended(&self, outcome: &'static str, took: Duration) {
        let duration = self.0.seconds(
            "portcullis.policy.outcall.duration",
            "Requests of policies' own, by status class, failure, too-large or cancelled",
            REQUEST_SECONDS,
        );
        let outcome = KeyValue::new("portcullis.outcome", outcome);
        duration.record(took.as_secs_f64(), &self.0.labelled([outcome]));
    }
}
