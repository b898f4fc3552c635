//! Attempts until there is an answer: the mechanism and the bounds, while policies decide.
//!
//! A policy may ask for another attempt; it gets one only if the request can be sent again
//! without harm, the route's number of attempts is not used up and the deadline leaves time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, Version};

use super::attempt::{self, AttemptError};
use super::body::{RequestBody, UpstreamBody};
use super::replay_body::ReplaySource;
use super::{Upstream, UpstreamPools};
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::forwarding;
use crate::policy::chain;
use crate::policy::verdict::{Attempt, AttemptVerdict, EndpointChoice, Failure, RetryPlan};
use crate::wasm::Phase;
use crate::worker::Revision;

/// The body of a request, as far as attempts are concerned.
enum Body {
    Empty,
    Once(Option<ClientBody>),
    Replay(ReplaySource),
}

/// What an attempt has brought.
type Outcome = Result<Response<UpstreamBody>, AttemptError>;

/// Sends the request to the route's upstream. The response's head is in the exchange, its body is
/// returned.
pub async fn dispatch(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    body: ClientBody,
) -> (Box<Exchange>, Result<UpstreamBody, GatewayError>) {
    let route = exchange.route.clone();
    let upstream = &revision.snapshot.upstreams[route.upstream];
    let asked = route
        .chain
        .iter()
        .any(|member| member.policy.exports(Phase::OnAttempt));
    let Some(target) = route.rewrite.apply(&exchange.request.target) else {
        return (exchange, Err(GatewayError::TargetTooLong));
    };
    // Also without a policy: a connection that the endpoint closes just now is no reason to fail.
    let body = Body::new(body, asked || is_idempotent(&exchange.request.method));
    let mut attempts = Attempts::new(revision, route.upstream, target, body);
    loop {
        let (last, outcome) = attempts.next(&exchange).await;
        let answer = take_head(&mut exchange, outcome);
        // With no time left there is nothing to decide.
        if !asked || last.remaining.is_zero() || last.failure == Some(Failure::RequestBody) {
            return deliver(upstream, exchange, answer);
        }
        let (back, verdict) = chain::on_attempt(revision, exchange, &last).await;
        exchange = back;
        match verdict.map(|verdict| bounded(verdict, &last, &exchange)) {
            Ok(Some(plan)) => attempts.prepare(plan, &last, &mut exchange, answer).await,
            Ok(None) => return deliver(upstream, exchange, answer),
            Err(error) => return (exchange, Err(error)),
        }
    }
}

/// The attempts of one exchange: what the next one must know of the last.
struct Attempts<'a> {
    revision: &'a Revision,
    upstream: &'a Upstream,
    pools: &'a UpstreamPools,
    target: PathAndQuery,
    body: Body,
    number: u32,
    last_endpoint: Option<usize>,
    plan: RetryPlan,
}

impl<'a> Attempts<'a> {
    fn new(revision: &'a Revision, upstream: usize, target: PathAndQuery, body: Body) -> Self {
        let plan = RetryPlan {
            delay: Duration::ZERO,
            endpoint: EndpointChoice::Any,
            timeout: None,
        };
        Self {
            revision,
            upstream: &revision.snapshot.upstreams[upstream],
            pools: &revision.upstreams[upstream],
            target,
            body,
            number: 0,
            last_endpoint: None,
            plan,
        }
    }

    /// Makes the next attempt: what came of it, and the facts that policies decide by.
    async fn next(&mut self, exchange: &Exchange) -> (Attempt, Outcome) {
        let started = Instant::now();
        self.number += 1;
        let Some((index, pool)) = self.pools.pick(self.plan.endpoint, self.last_endpoint) else {
            let outcome = Err(AttemptError::no_endpoint());
            return (self.facts(exchange, "".into(), started, &outcome), outcome);
        };
        self.last_endpoint = Some(index);
        // One instant for both sends, should there be two.
        let deadline = tokio::time::Instant::now() + self.timeout(exchange);
        let outcome = attempt_once(exchange, &self.target, &mut self.body, |request| {
            attempt::send(pool, request, self.upstream.connect_timeout, deadline)
        })
        .await;
        count(self.revision, self.upstream, &outcome);
        let facts = self.facts(exchange, pool.authority.clone(), started, &outcome);
        (facts, outcome)
    }

    /// Waits as planned; of the answer that is not wanted only the connection is kept.
    async fn prepare(
        &mut self,
        plan: RetryPlan,
        last: &Attempt,
        exchange: &mut Exchange,
        unwanted: Result<UpstreamBody, AttemptError>,
    ) {
        let metrics = &self.revision.metrics;
        metrics.retry(&self.upstream.name, reason(exchange, last));
        exchange.response = None;
        if let Ok(body) = unwanted {
            body.discard();
        }
        tokio::time::sleep(plan.delay).await;
        self.plan = plan;
    }

    fn timeout(&self, exchange: &Exchange) -> Duration {
        let planned = self.plan.timeout.unwrap_or(Duration::MAX);
        let remaining = exchange.remaining(Instant::now());
        self.upstream.attempt_timeout.min(planned).min(remaining)
    }

    fn facts(
        &self,
        exchange: &Exchange,
        endpoint: Arc<str>,
        started: Instant,
        outcome: &Outcome,
    ) -> Attempt {
        let now = Instant::now();
        let failed = outcome.as_ref().err();
        Attempt {
            number: self.number,
            upstream: self.upstream.name.clone(),
            endpoint,
            elapsed: now - started,
            total: now - exchange.started,
            remaining: exchange.remaining(now),
            sent: failed.is_none_or(|error| error.sent),
            idempotent: exchange.route.retry_non_idempotent
                || is_idempotent(&exchange.request.method),
            replayable: self.body.is_replayable(),
            failure: failed.map(|error| error.failure),
        }
    }
}

impl Body {
    fn new(body: ClientBody, again: bool) -> Self {
        if http_body::Body::is_end_stream(&body) {
            Body::Empty
        } else if again {
            Body::Replay(ReplaySource::new(body))
        } else {
            Body::Once(Some(body))
        }
    }

    fn for_attempt(&mut self) -> RequestBody {
        match self {
            Body::Empty => RequestBody::Empty,
            Body::Once(body) => body.take().map_or(RequestBody::Empty, RequestBody::Stream),
            Body::Replay(source) => RequestBody::Replay(source.next_attempt()),
        }
    }

    fn is_replayable(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Once(body) => body.is_some(),
            Body::Replay(source) => source.is_replayable(),
        }
    }
}

/// One attempt; a second one at once where the endpoint had closed an idle connection just as the
/// request came, and sending it again can do no harm.
async fn attempt_once<F>(
    exchange: &Exchange,
    target: &PathAndQuery,
    body: &mut Body,
    send: impl Fn(Request<RequestBody>) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let outcome = send(request(exchange, target, body.for_attempt())).await;
    let again = outcome.as_ref().is_err_and(|error| {
        let closed_while_idle = error.reused && error.failure == Failure::Reset;
        closed_while_idle && is_idempotent(&exchange.request.method) && body.is_replayable()
    });
    if again {
        send(request(exchange, target, body.for_attempt())).await
    } else {
        outcome
    }
}

fn request(exchange: &Exchange, target: &PathAndQuery, body: RequestBody) -> Request<RequestBody> {
    let has_body = !http_body::Body::is_end_stream(&body);
    let mut request = Request::new(body);
    *request.method_mut() = exchange.request.method.clone();
    *request.uri_mut() = Uri::from(target.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = forwarding::upstream_fields(exchange, has_body);
    request
}

fn count(revision: &Revision, upstream: &Upstream, outcome: &Outcome) {
    match outcome {
        Ok(response) => upstream.answered.answered(response.status()),
        Err(error) => {
            revision
                .metrics
                .attempt_failed(&upstream.name, error.failure.name());
            tracing::debug!(
                upstream = &*upstream.name,
                failure = error.failure.name(),
                "attempt failed: {}",
                error.detail
            );
        }
    }
}

/// The retry that the host allows of what a policy asks for.
fn bounded(verdict: AttemptVerdict, last: &Attempt, exchange: &Exchange) -> Option<RetryPlan> {
    let AttemptVerdict::Retry(plan) = verdict else {
        return None;
    };
    let route = &exchange.route;
    let harmless = last.idempotent || !last.sent;
    let allowed = last.number < route.max_attempts
        && last.replayable
        && harmless
        && plan.delay < last.remaining;
    allowed.then_some(plan)
}

/// Moves the response's head into the exchange, for `on-attempt` to see.
fn take_head(exchange: &mut Exchange, outcome: Outcome) -> Result<UpstreamBody, AttemptError> {
    let (head, body) = outcome?.into_parts();
    let mut headers = head.headers;
    forwarding::remove_hop_by_hop(&mut headers);
    exchange.response = Some(ResponseHead {
        source: ResponseSource::Upstream,
        status: head.status,
        headers,
    });
    Ok(body)
}

fn deliver(
    upstream: &Upstream,
    exchange: Box<Exchange>,
    body: Result<UpstreamBody, AttemptError>,
) -> (Box<Exchange>, Result<UpstreamBody, GatewayError>) {
    let result = body.map_err(|error| {
        if error.failure == Failure::RequestBody {
            GatewayError::RequestBody
        } else if exchange.remaining(Instant::now()).is_zero() {
            GatewayError::DeadlineExceeded {
                upstream: upstream.name.clone(),
            }
        } else {
            unreachable(upstream, error.failure, error.detail)
        }
    });
    (exchange, result)
}

fn unreachable(upstream: &Upstream, failure: Failure, detail: String) -> GatewayError {
    GatewayError::Upstream {
        upstream: upstream.name.clone(),
        failure,
        detail,
    }
}

fn reason(exchange: &Exchange, facts: &Attempt) -> String {
    match (&exchange.response, facts.failure) {
        (Some(response), _) => response.status.as_u16().to_string(),
        (None, Some(failure)) => failure.name().to_owned(),
        (None, None) => "none".to_owned(),
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}
