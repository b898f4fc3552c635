//! Attempts until there is an answer: the mechanism and the bounds, while policies decide.
//!
//! A policy may ask for another attempt; it gets one only if the request can be sent again
//! without harm, the route's number of attempts is not used up, the deadline leaves time for the wait
//! (for at least as long as the answer's `Retry-After` asks), and the upstream's budget has a retry.

use std::time::{Instant, SystemTime};

use portcullis_config::Protocol;

use super::Upstream;
use super::attempt::AttemptError;
use super::attempts::{Attempts, Outcome, is_idempotent};
use super::body::UpstreamBody;
use super::body_source::BodySource;
use super::retry_after::retry_after;
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::head;
use crate::policy::chain;
use crate::policy::verdict::{Attempt, AttemptVerdict, Failure, RetryPlan};
use crate::wasm::Phase;
use crate::worker::Revision;

/// Sends the request to the upstream at that place. The response's head is in the exchange, its body
/// is returned.
pub async fn dispatch(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    place: usize,
    body: ClientBody,
) -> (Box<Exchange>, Result<UpstreamBody, GatewayError>) {
    let route = exchange.route.clone();
    let upstream = &revision.snapshot.upstreams[place];
    let asked = route
        .chain
        .iter()
        .any(|member| member.policy.exports(Phase::OnAttempt));
    let Some(target) = route.rewrite.apply(&exchange.request.target) else {
        return (exchange, Err(GatewayError::TargetTooLong));
    };
    // Also without a policy: a connection that the endpoint closes just now is no reason to fail, nor
    // is a stream that it has refused.
    let again = asked
        || is_idempotent(&exchange.request.method)
        || upstream.transport.protocol == Protocol::Http2;
    let body = BodySource::new(body, if again { route.replay_buffer } else { 0 });
    if asked {
        upstream
            .live
            .counts
            .retries
            .deposit(&upstream.live.config.retry_budget);
    }
    let mut attempts = Attempts::new(revision, place, &exchange, target, body);
    loop {
        exchange.attempts += 1;
        let (last, outcome) = attempts.next(&exchange).await;
        exchange.upstream_time += last.elapsed;
        let answer = take_head(revision, &mut exchange, outcome);
        // With no time left there is nothing to decide.
        if !asked || last.remaining.is_zero() || last.failure == Some(Failure::RequestBody) {
            return deliver(upstream, exchange, answer);
        }
        let (back, verdict) = chain::on_attempt(revision, exchange, &last).await;
        exchange = back;
        match verdict.map(|verdict| bounded(verdict, &last, &exchange)) {
            Ok(Some(plan)) if attempts.may_retry() => {
                exchange.upstream_time += plan.delay;
                attempts.prepare(plan, &last, &mut exchange, answer).await;
            }
            Ok(_) => return deliver(upstream, exchange, answer),
            Err(error) => return (exchange, Err(error)),
        }
    }
}

/// The retry that the host allows of what a policy asks for.
fn bounded(verdict: AttemptVerdict, last: &Attempt, exchange: &Exchange) -> Option<RetryPlan> {
    let AttemptVerdict::Retry(mut plan) = verdict else {
        return None;
    };
    let route = &exchange.route;
    let asked_for = exchange
        .response
        .as_ref()
        .and_then(|response| retry_after(&response.headers, SystemTime::now()))
        .unwrap_or_default();
    plan.delay = plan.delay.max(asked_for);
    let harmless = last.idempotent || !last.sent;
    let allowed = last.number < route.max_attempts
        && last.replayable
        && harmless
        && asked_for <= route.max_retry_after
        && plan.delay < last.remaining;
    allowed.then_some(plan)
}

/// Moves the response's head into the exchange, for `on-attempt` to see.
fn take_head(
    revision: &Revision,
    exchange: &mut Exchange,
    outcome: Outcome,
) -> Result<UpstreamBody, AttemptError> {
    let (parts, body) = outcome?.into_parts();
    let mut headers = parts.headers;
    let rules = &revision.snapshot.head_rules;
    head::admit_answer(&mut headers, parts.version, rules);
    exchange.response = Some(ResponseHead {
        source: ResponseSource::Upstream,
        status: parts.status,
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
