//! The attempts of one exchange: where each goes, what comes of it, what policies are told of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, Version};
use portcullis_config::{LoadBalancing, Protocol};

use super::Upstream;
use super::attempt::{self, AttemptError};
use super::balance::key;
use super::body::{RequestBody, UpstreamBody};
use super::body_source::BodySource;
use super::connection::EndpointPool;
use super::moment::Moment;
use super::permit::Permit;
use super::pools::{UpstreamPools, Wish};
use crate::exchange::Exchange;
use crate::head;
use crate::policy::verdict::{Attempt, EndpointChoice, Failure, RetryPlan};
use crate::telemetry::trace::{AttemptEnd, AttemptFacts, AttemptSpan};
use crate::upgrade;
use crate::worker::Revision;

/// What an attempt has brought.
pub type Outcome = Result<Response<UpstreamBody>, AttemptError>;

/// The attempts of one exchange: what the next one must know of the last.
pub struct Attempts<'a> {
    upstream: &'a Upstream,
    pools: &'a UpstreamPools,
    target: PathAndQuery,
    body: BodySource,
    number: u32,
    last_endpoint: Option<Rc<EndpointPool>>,
    /// For hashing.
    key: Option<u64>,
    plan: RetryPlan,
}

impl<'a> Attempts<'a> {
    /// None has been made yet; they go to the upstream at that place.
    pub fn new(
        revision: &'a Revision,
        place: usize,
        exchange: &Exchange,
        target: PathAndQuery,
        body: BodySource,
    ) -> Self {
        let upstream = &revision.snapshot.upstreams[place];
        let plan = RetryPlan {
            delay: Duration::ZERO,
            endpoint: EndpointChoice::Any,
            timeout: None,
        };
        Self {
            upstream,
            pools: &revision.upstreams[place],
            target,
            body,
            number: 0,
            last_endpoint: None,
            key: match &upstream.live.config.load_balancing {
                LoadBalancing::Hash(by) => {
                    key::hash(by, &exchange.request.headers, exchange.client.ip())
                }
                _ => None,
            },
            plan,
        }
    }

    /// Makes the next attempt: what came of it, and the facts that policies decide by.
    pub async fn next(&mut self, exchange: &Exchange) -> (Attempt, Outcome) {
        let started = Instant::now();
        self.number += 1;
        let wish = Wish {
            choice: self.plan.endpoint,
            last: self.last_endpoint.as_ref(),
            key: self.key,
            now: Moment::at(started),
        };
        let Some(pool) = self.pools.pick(&wish) else {
            let outcome = Err(no_endpoint(self.upstream));
            return (self.facts(exchange, "".into(), started, &outcome), outcome);
        };
        self.last_endpoint = Some(pool.clone());
        if let Some(entry) = &exchange.entry {
            entry.attempts(&self.upstream.name, &pool.state.name);
        }
        let span = exchange.trace.attempt(|| self.described(exchange, &pool));
        let outcome = self.send(exchange, &pool, started, &span).await;
        span.end(|| ended(&outcome));
        let facts = self.facts(exchange, pool.state.name.clone(), started, &outcome);
        if let Some(entry) = &exchange.entry {
            entry.attempted(facts.elapsed);
        }
        count(self.upstream, &outcome);
        let ended = outcome.as_ref();
        let ended = ended
            .map(Response::status)
            .map_err(|error| error.failure.name());
        pool.attempts
            .record(&exchange.request.method, ended, facts.elapsed);
        if let Some(succeeded) = says_of_endpoint(&outcome) {
            report(self.upstream, &pool, succeeded);
        }
        (facts, outcome)
    }

    async fn send(
        &mut self,
        exchange: &Exchange,
        pool: &Rc<EndpointPool>,
        started: Instant,
        span: &AttemptSpan,
    ) -> Outcome {
        // One instant for both sends, should there be two.
        let deadline = (started + self.timeout(exchange, started)).into();
        let limits = &self.upstream.live.config.circuit;
        let permit = Permit::take(pool, limits, deadline).await?;
        let (offer, connect_timeout) = (self.offer(exchange), self.upstream.connect_timeout);
        let outcome = attempt_once(exchange, &self.target, &mut self.body, |mut request| {
            if let Some(protocols) = &offer {
                upgrade::ask(request.headers_mut(), protocols);
            }
            span.sign(request.headers_mut());
            attempt::send(pool, request, offer.as_ref(), connect_timeout, deadline)
        })
        .await;
        let tunnel_idle = self.upstream.live.config.timeouts.tunnel_idle;
        outcome.map(|response| response.map(|body| body.with(permit, tunnel_idle)))
    }

    /// What its trace tells of the next attempt.
    fn described(&self, exchange: &Exchange, pool: &EndpointPool) -> AttemptFacts {
        let (method, target) = (&exchange.request.method, Uri::from(self.target.clone()));
        described(&self.upstream.name, pool, self.number, method, target)
    }

    /// Whether the upstream's budget has a retry; takes it out.
    pub fn may_retry(&self) -> bool {
        let live = &self.upstream.live;
        let settings = &live.config.retry_budget;
        let allowed = live.counts.retries.withdraw(settings, Moment::now());
        if !allowed {
            self.upstream.series.retry_refused();
        }
        allowed
    }

    /// Waits as planned; of the answer that is not wanted only the connection is kept.
    pub async fn prepare(
        &mut self,
        plan: RetryPlan,
        last: &Attempt,
        exchange: &mut Exchange,
        unwanted: Result<UpstreamBody, AttemptError>,
    ) {
        self.upstream.series.retry(reason(exchange, last));
        exchange.response = None;
        if let Ok(body) = unwanted {
            body.discard();
        }
        tokio::time::sleep(plan.delay).await;
        self.plan = plan;
    }

    /// What the connection may become: only where it has no body to carry first.
    fn offer(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let upgrade = exchange.request.upgrade.as_ref()?;
        let can_switch = self.upstream.transport.protocol == Protocol::Http1
            && matches!(self.body, BodySource::Empty);
        if can_switch {
            upgrade.offer(&exchange.route.upgrades)
        } else {
            None
        }
    }

    fn timeout(&self, exchange: &Exchange, started: Instant) -> Duration {
        let planned = self.plan.timeout.unwrap_or(Duration::MAX);
        let remaining = exchange.remaining(started);
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

/// One attempt; a second one at once where the endpoint had closed an idle connection just as the
/// request came, and sending it again can do no harm.
async fn attempt_once<F>(
    exchange: &Exchange,
    target: &PathAndQuery,
    body: &mut BodySource,
    send: impl Fn(Request<RequestBody>) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let outcome = send(request(exchange, target, body.for_attempt())).await;
    let again = outcome
        .as_ref()
        .is_err_and(|error| sends_again(error, &exchange.request.method) && body.is_replayable());
    if again {
        Box::pin(send(request(exchange, target, body.for_attempt()))).await
    } else {
        outcome
    }
}

/// What a trace tells of a request to an endpoint.
pub(super) fn described(
    upstream: &Arc<str>,
    pool: &EndpointPool,
    number: u32,
    method: &Method,
    target: Uri,
) -> AttemptFacts {
    AttemptFacts {
        number,
        method: method.clone(),
        scheme: pool.scheme(),
        endpoint: pool.endpoint.clone(),
        target,
        address: pool.state.name.clone(),
        upstream: upstream.clone(),
    }
}

/// What a trace tells of its end.
pub(super) fn ended(outcome: &Outcome) -> AttemptEnd {
    match outcome {
        Ok(response) => AttemptEnd::Answered(response.status().as_u16(), response.version()),
        Err(error) => AttemptEnd::Failed(error.failure.name()),
    }
}

/// Whether what has failed so may be sent again at once: its endpoint had closed an idle connection just as it
/// came, and sending it again can do no harm, or says that it has not looked at it.
pub(super) fn sends_again(error: &AttemptError, method: &Method) -> bool {
    let closed_while_idle = error.reused && is_idempotent(method);
    // HTTP/2 tells which streams have not been looked at: those can be sent again in any case.
    error.failure == Failure::Reset && (!error.sent || closed_while_idle)
}

/// There was no endpoint to pick.
pub(super) fn no_endpoint(upstream: &Upstream) -> AttemptError {
    if upstream.live.is_unresolved() {
        AttemptError::unsent(Failure::Dns, "no name of the upstream has been resolved")
    } else {
        AttemptError::unsent(Failure::NoEndpoint, "no endpoint is available")
    }
}

/// Tells how an endpoint has done, where that is wanted.
pub(super) fn report(upstream: &Upstream, pool: &EndpointPool, succeeded: bool) {
    let live = &upstream.live;
    if live.config.outlier_detection.is_none() {
        return;
    }
    if let Some(ejection) = live.report(&pool.state, succeeded, Moment::now()) {
        let reason = ejection.suspicion.name();
        upstream.series.ejected(reason);
        let upstream = &*live.name;
        let endpoint = &*pool.state.name;
        tracing::warn!(
            upstream,
            endpoint,
            reason,
            "ejected for {:?}",
            ejection.time
        );
    }
}

fn request(exchange: &Exchange, target: &PathAndQuery, body: RequestBody) -> Request<RequestBody> {
    let has_body = !http_body::Body::is_end_stream(&body);
    let mut request = Request::new(body);
    *request.method_mut() = exchange.request.method.clone();
    *request.uri_mut() = Uri::from(target.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head::upstream_fields(exchange, has_body);
    request
}

/// Whether the endpoint did well: an answer other than 502, 503 and 504, which say that it, or what is
/// behind it, cannot work. `None`: the outcome says nothing of it.
pub(super) fn says_of_endpoint(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Ok(response) => Some(!matches!(response.status().as_u16(), 502..=504)),
        Err(error) => match error.failure {
            Failure::RequestBody | Failure::Overloaded | Failure::NoEndpoint => None,
            _ => Some(false),
        },
    }
}

fn count(upstream: &Upstream, outcome: &Outcome) {
    match outcome {
        Ok(response) => upstream.series.answered(response.status()),
        Err(error) => {
            upstream.series.attempt_failed(error.failure.name());
            tracing::debug!(
                upstream = &*upstream.name,
                failure = error.failure.name(),
                "attempt failed: {}",
                error.detail
            );
        }
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
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}
