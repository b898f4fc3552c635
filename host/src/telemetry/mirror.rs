//! What became of the copies of requests that mirrors get.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::BoundCounter;

use super::scope::Scope;
use super::scopes::Scopes;

/// Counters of one route's mirror.
pub struct MirrorCounters {
    sent: BoundCounter<u64>,
    dropped: BoundCounter<u64>,
    failed: BoundCounter<u64>,
    _scope: Arc<Scope>,
}

impl MirrorCounters {
    pub(super) fn new(scopes: &Scopes, route: &str, upstream: &str) -> Self {
        let labels = vec![
            KeyValue::new("portcullis.route", route.to_owned()),
            KeyValue::new("portcullis.upstream", upstream.to_owned()),
        ];
        let scope = scopes.open(labels, |_| 10);
        let requests = scope.counter(
            "portcullis.mirror.requests",
            "Copies of requests, by what became of them: sent, dropped, failed",
        );
        let bind = |outcome: &'static str| {
            let outcome = KeyValue::new("portcullis.outcome", outcome);
            requests.bind(&scope.labelled([outcome]))
        };
        Self {
            sent: bind("sent"),
            dropped: bind("dropped"),
            failed: bind("failed"),
            _scope: scope,
        }
    }

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
