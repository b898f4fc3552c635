//! A route's policies, asked in order: requests first to last, attempts until one has an opinion,
//! responses last to first.

use std::time::Instant;

use portcullis_config::OnFailure;

use super::PolicyUse;
use super::verdict::{Attempt, AttemptVerdict, RequestVerdict, ResponseVerdict, VerdictName};
use crate::error::GatewayError;
use crate::exchange::{Exchange, LocalResponse};
use crate::wasm::call::{self, Ended, Seat};
use crate::wasm::{Phase, fault::Fault};
use crate::worker::Revision;

/// How the request's way through the chain ended.
pub enum RequestOutcome {
    /// All policies let it pass.
    Next,
    /// The policy at this place answered it; the ones before it see the response.
    Respond(usize, LocalResponse),
    /// The policy at this place failed, and fails closed.
    Failed(usize, GatewayError),
}

/// Asks every policy's `on-request`, first to last.
pub async fn on_request(
    revision: &Revision,
    mut exchange: Box<Exchange>,
) -> (Box<Exchange>, RequestOutcome) {
    let route = exchange.route.clone();
    for member in &route.chain {
        if !member.policy.exports(Phase::OnRequest) {
            continue;
        }
        let seat = seat(revision, member);
        let (back, verdict) = timed(
            member,
            Phase::OnRequest,
            Box::pin(call::on_request(&seat, exchange)),
        )
        .await;
        exchange = back;
        match verdict {
            Ok(RequestVerdict::Next) => {}
            Ok(RequestVerdict::Respond(response)) => {
                return (exchange, RequestOutcome::Respond(member.place, response));
            }
            Err(fault) => {
                if let Some(error) = failed(revision, &exchange, member, Phase::OnRequest, fault) {
                    return (exchange, RequestOutcome::Failed(member.place, error));
                }
            }
        }
    }
    (exchange, RequestOutcome::Next)
}

/// Asks `on-attempt` until a policy has an opinion; `Abstain` when none has.
pub async fn on_attempt(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    last: &Attempt,
) -> (Box<Exchange>, Result<AttemptVerdict, GatewayError>) {
    let route = exchange.route.clone();
    for member in &route.chain {
        if !member.policy.exports(Phase::OnAttempt) {
            continue;
        }
        let seat = seat(revision, member);
        let (back, verdict) = timed(
            member,
            Phase::OnAttempt,
            Box::pin(call::on_attempt(&seat, exchange, last)),
        )
        .await;
        exchange = back;
        match verdict {
            Ok(AttemptVerdict::Abstain) => {}
            Ok(verdict) => return (exchange, Ok(verdict)),
            Err(fault) => {
                if let Some(error) = failed(revision, &exchange, member, Phase::OnAttempt, fault) {
                    return (exchange, Err(error));
                }
            }
        }
    }
    (exchange, Ok(AttemptVerdict::Abstain))
}

/// What a response hook wants sent in place of the response.
pub enum Replacement {
    /// A policy's answer.
    Policy(usize, LocalResponse),
    /// A policy failed, and fails closed.
    Failed(GatewayError),
}

/// Asks `on-response` of the policies below `passed`, last to first; stops at the first that
/// replaces the response and says where to go on from.
pub async fn on_response(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    passed: usize,
) -> (Box<Exchange>, Option<(usize, Replacement)>) {
    let route = exchange.route.clone();
    for member in route.chain[..passed].iter().rev() {
        if !member.policy.exports(Phase::OnResponse) {
            continue;
        }
        let seat = seat(revision, member);
        let (back, verdict) = timed(
            member,
            Phase::OnResponse,
            Box::pin(call::on_response(&seat, exchange)),
        )
        .await;
        exchange = back;
        match verdict {
            Ok(ResponseVerdict::Next) => {}
            Ok(ResponseVerdict::Replace(response)) => {
                return (
                    exchange,
                    Some((member.place, Replacement::Policy(member.place, response))),
                );
            }
            Err(fault) => {
                if let Some(error) = failed(revision, &exchange, member, Phase::OnResponse, fault) {
                    return (exchange, Some((member.place, Replacement::Failed(error))));
                }
            }
        }
    }
    (exchange, None)
}

fn seat<'a>(revision: &'a Revision, member: &'a PolicyUse) -> Seat<'a> {
    Seat {
        policy: &member.policy,
        pool: &revision.sandboxes[member.slot],
        worker: revision.worker,
        place: member.place,
    }
}

async fn timed<V: VerdictName>(
    member: &PolicyUse,
    phase: Phase,
    hook: impl Future<Output = Ended<V>>,
) -> Ended<V> {
    let start = Instant::now();
    let ended = hook.await;
    let time = start.elapsed();
    member.timers.record(phase, time);
    let (exchange, verdict) = &ended;
    if let Some(entry) = &exchange.entry {
        let verdict = verdict.as_ref().map_or_else(Fault::kind, V::name);
        entry.asked(&member.name, phase, verdict, time);
    }
    ended
}

/// Counts and logs a fault; an error where the policy fails closed, nothing where it fails open.
fn failed(
    revision: &Revision,
    exchange: &Exchange,
    member: &PolicyUse,
    phase: Phase,
    fault: Fault,
) -> Option<GatewayError> {
    let route = &exchange.route.name;
    revision
        .metrics
        .policy_fault(&member.name, route, phase, fault.kind());
    let on_failure = match member.on_failure {
        OnFailure::Open => "open",
        OnFailure::Closed => "closed",
    };
    tracing::warn!(
        policy = &*member.name,
        %route,
        phase = phase.name(),
        request = exchange.id,
        kind = fault.kind(),
        on_failure,
        backtrace = fault.backtrace(),
        "policy failed: {fault}"
    );
    match member.on_failure {
        OnFailure::Open => None,
        OnFailure::Closed => Some(GatewayError::PolicyFailed {
            policy: member.name.clone(),
            phase,
            fault,
        }),
    }
}
