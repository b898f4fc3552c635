//! Decides which requests are traced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Request};
use ipnet::IpNet;
use portcullis_config::{Follow, Tracing};

use super::context::{TRACESTATE, TraceContext};
use super::facts::RequestFacts;
use super::request_trace::{RequestTrace, Trace};
use super::spans::SpanId;
use super::tracestate;
use crate::client::Client;
use crate::head;
use crate::telemetry::otlp::TraceQueue;

/// What a revision of the config says of traces, and where they go.
pub struct Tracer {
    rules: Tracing,
    redact: Arc<BTreeSet<String>>,
    queue: Arc<TraceQueue>,
}

impl Tracer {
    /// Traces go to that queue, without the values of the query parameters in `redact`.
    pub fn new(rules: Tracing, redact: BTreeSet<String>, queue: Arc<TraceQueue>) -> Self {
        Self {
            rules,
            redact: Arc::new(redact),
            queue,
        }
    }

    /// The trace of a request that has just come from `client`; `trusted` are the peers that speak for others.
    pub fn begin<B>(
        &self,
        request: &Request<B>,
        client: &Client,
        trusted: &[IpNet],
    ) -> RequestTrace {
        let parent = TraceContext::of(request.headers());
        let is_trusted = || head::is_trusted(trusted, client);
        if !is_sampled(&self.rules, parent, is_trusted, rand::random) {
            return RequestTrace::default();
        }
        let span_id = rand::random();
        let context = match parent {
            Some(parent) => parent.next(span_id, true),
            None => TraceContext::begin(rand::random(), span_id, true),
        };
        let trace = Trace {
            context,
            parent: parent.map(|parent| SpanId(parent.span_id)),
            state: state(parent, request.headers()),
            started: (SystemTime::now(), Instant::now()),
            request: facts(request, client),
            ending: None,
            spans: Vec::with_capacity(8),
            omitted: 0,
            redact: self.redact.clone(),
        };
        RequestTrace::sampled(trace, self.queue.clone())
    }

    /// Puts the trace's own fields into an admitted request, in place of the client's.
    pub fn admit(
        &self,
        trace: &RequestTrace,
        id: &str,
        client: std::net::SocketAddr,
        headers: &mut HeaderMap,
    ) {
        trace.admit(id, client, headers);
    }
}

/// The caller's decision where it is followed, else one by chance. That chance has nothing to do with the trace's id,
/// which a client may have chosen.
fn is_sampled(
    rules: &Tracing,
    parent: Option<TraceContext>,
    is_trusted: impl FnOnce() -> bool,
    random: impl FnOnce() -> f64,
) -> bool {
    let followed = parent.filter(|_| match rules.follow {
        Follow::TrustedProxies => is_trusted(),
        Follow::Everyone => true,
        Follow::Nobody => false,
    });
    match followed {
        Some(parent) => parent.is_sampled(),
        None => rules.sample >= 1.0 || random() < rules.sample,
    }
}

fn state(parent: Option<TraceContext>, headers: &HeaderMap) -> Vec<http::HeaderValue> {
    if parent.is_none() || !tracestate::is_sound(headers) {
        return Vec::new();
    }
    headers.get_all(TRACESTATE).iter().cloned().collect()
}

fn facts<B>(request: &Request<B>, client: &Client) -> RequestFacts {
    let headers = request.headers();
    RequestFacts {
        method: request.method().clone(),
        target: request.uri().clone(),
        version: request.version(),
        scheme: client.scheme,
        host: headers.get(HOST).cloned(),
        user_agent: headers.get(USER_AGENT).cloned(),
        peer: client.address,
        client: client.address,
        request_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(follow: Follow, flag: Option<bool>, trusted: bool, drawn: f64) -> bool {
        let rules = Tracing {
            sample: 0.5,
            follow,
        };
        let parent = flag.map(|flag| TraceContext::begin(1, 1, flag));
        is_sampled(&rules, parent, || trusted, || drawn)
    }

    #[test]
    fn the_flag_is_followed_only_from_those_who_may_decide() {
        use Follow::{Everyone, Nobody, TrustedProxies};
        for (follow, trusted, is_followed) in [
            (TrustedProxies, true, true),
            (TrustedProxies, false, false),
            (Everyone, false, true),
            (Nobody, true, false),
        ] {
            for (flag, drawn) in [(true, 0.9), (false, 0.1)] {
                let by_chance = drawn < 0.5;
                let expected = if is_followed { flag } else { by_chance };
                let found = decided(follow, Some(flag), trusted, drawn);
                assert_eq!(found, expected, "{follow:?} {trusted} {flag}");
                assert_eq!(decided(follow, None, trusted, drawn), by_chance);
            }
        }
    }

    #[test]
    fn all_or_nothing_needs_no_luck() {
        for (sample, expected) in [(1.0, true), (0.0, false)] {
            let rules = Tracing {
                sample,
                follow: Follow::Nobody,
            };
            assert_eq!(is_sampled(&rules, None, || false, || 0.0), expected);
        }
    }
}
