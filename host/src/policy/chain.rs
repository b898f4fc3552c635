//! A route's policies, asked in order: requests first to last, attempts until one has an opinion,
//! responses last to first.

use std::time::{Duration, Instant, SystemTime};

use portcullis_config::OnFailure;

use super::PolicyUse;
use super::fault_circuit::{Change, HookEnd, Pass};
use super::recent_faults::RecentFault;
use super::verdict::{
    Attempt, AttemptVerdict, RequestVerdict, ResponseVerdict, Summary, VerdictName,
};
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::{Exchange, LocalResponse};
use crate::response_body::Content;
use crate::wasm::call::{self, Ended, Seat};
use crate::wasm::outcall_desk::Sender;
use crate::wasm::{Phase, fault::Fault};
use crate::worker::Revision;

/// How the request's way through the chain ended.
pub enum RequestOutcome {
    /// All policies let it pass.
    Next,
    /// The policy at this place answered it; the ones before it see the response.
    Respond(usize, LocalResponse),
    /// The policy at this place failed, and fails closed; or the body broke off as it read it.
    Failed(usize, GatewayError),
}

/// Asks every policy's `on-request`, first to last. They may read the body and put another in its place; one
/// that breaks off as they read ends their way, whatever they say.
pub async fn on_request(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    body: &mut ClientBody,
) -> (Box<Exchange>, RequestOutcome) {
    let route = exchange.route.clone();
    for member in &route.chain {
        if !member.policy.exports(Phase::OnRequest) {
            continue;
        }
        let seat = seat(revision, member);
        let (back, verdict) = ask(revision, member, Phase::OnRequest, exchange, |exchange| {
            Box::pin(call::on_request(&seat, exchange, body))
        })
        .await;
        exchange = back;
        if let Some(error) = body.failure() {
            return (exchange, RequestOutcome::Failed(member.place, error));
        }
        match verdict {
            Ok(None | Some(RequestVerdict::Next)) => {}
            Ok(Some(RequestVerdict::Respond(response))) => {
                return (exchange, RequestOutcome::Respond(member.place, response));
            }
            Err(error) => return (exchange, RequestOutcome::Failed(member.place, error)),
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
        let hook = |exchange| Box::pin(call::on_attempt(&seat, exchange, last));
        let (back, verdict) = ask(revision, member, Phase::OnAttempt, exchange, hook).await;
        exchange = back;
        match verdict {
            Ok(None | Some(AttemptVerdict::Abstain)) => {}
            Ok(Some(verdict)) => return (exchange, Ok(verdict)),
            Err(error) => return (exchange, Err(error)),
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
/// replaces the response and says where to go on from. They may read its body and put another in its place.
pub async fn on_response(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    content: &mut Content,
    passed: usize,
) -> (Box<Exchange>, Option<(usize, Replacement)>) {
    let route = exchange.route.clone();
    for member in route.chain[..passed].iter().rev() {
        if !member.policy.exports(Phase::OnResponse) {
            continue;
        }
        let seat = seat(revision, member);
        let (back, verdict) = ask(revision, member, Phase::OnResponse, exchange, |exchange| {
            Box::pin(call::on_response(&seat, exchange, content))
        })
        .await;
        exchange = back;
        match verdict {
            Ok(None | Some(ResponseVerdict::Next)) => {}
            Ok(Some(ResponseVerdict::Replace(response))) => {
                return (
                    exchange,
                    Some((member.place, Replacement::Policy(member.place, response))),
                );
            }
            Err(error) => {
                return (exchange, Some((member.place, Replacement::Failed(error))));
            }
        }
    }
    (exchange, None)
}

/// Asks every policy's `on-log`, first to last, whether or not the request has come to it. A fault is
/// counted and logged, and has no other effect: the use's fault circuit does not hear of it either.
pub async fn on_log(revision: &Revision, mut exchange: Box<Exchange>, summary: &Summary) {
    let route = exchange.route.clone();
    for member in &route.chain {
        if !member.policy.exports(Phase::OnLog) {
            continue;
        }
        let seat = seat(revision, member);
        let hook = |exchange| Box::pin(call::on_log(&seat, exchange, summary));
        let (back, asked) = timed(member, Phase::OnLog, exchange, hook).await;
        exchange = back;
        if let Err(fault) = asked {
            report(revision, &exchange, member, Phase::OnLog, &fault);
        }
    }
}

pub(super) fn seat<'a>(revision: &'a Revision, member: &'a PolicyUse) -> Seat<'a> {
    Seat {
        policy: &member.policy,
        pool: &revision.sandboxes[member.slot],
        worker: revision.worker,
        sender: Sender::Worker(revision),
        series: Some(&member.series),
        place: member.place,
    }
}

/// Asks a hook, unless its use's circuit is open. `None`: it failed or was not called, and the policy
/// fails open; an error: it fails closed.
async fn ask<V: VerdictName, F: Future<Output = Ended<V>>>(
    revision: &Revision,
    member: &PolicyUse,
    phase: Phase,
    exchange: Box<Exchange>,
    hook: impl FnOnce(Box<Exchange>) -> F,
) -> (Box<Exchange>, Result<Option<V>, GatewayError>) {
    let pass = match &member.fault_circuit {
        None => None,
        Some(circuit) => match circuit.enter(phase, Instant::now) {
            Some(pass) => Some(pass),
            None => {
                let error = not_called(&exchange, member, phase);
                return (exchange, unless_open(member, error));
            }
        },
    };
    let (exchange, verdict) = timed(member, phase, exchange, hook).await;
    if let Some(pass) = pass {
        tell_circuit(pass, member, &exchange.route.name, verdict.as_ref().err());
    }
    let result = match verdict {
        Ok(verdict) => Ok(Some(verdict)),
        Err(fault) => {
            report(revision, &exchange, member, phase, &fault);
            unless_open(member, failure(member, phase, fault))
        }
    };
    (exchange, result)
}

fn unless_open<V>(member: &PolicyUse, error: GatewayError) -> Result<Option<V>, GatewayError> {
    match member.on_failure {
        OnFailure::Open => Ok(None),
        OnFailure::Closed => Err(error),
    }
}

/// Tells a use's circuit how a hook has ended, and the log if that has opened or closed it.
pub(super) fn tell_circuit(pass: Pass<'_>, member: &PolicyUse, route: &str, fault: Option<&Fault>) {
    let end = match fault {
        None => HookEnd::Well,
        Some(Fault::Overloaded(_) | Fault::PeersBody(_)) => HookEnd::Unknown,
        // The request had less time than the policy may take.
        Some(Fault::Deadline(time)) if *time < member.policy.time => HookEnd::Unknown,
        Some(_) => HookEnd::Fault,
    };
    let policy = &*member.name;
    match pass.end(end, Instant::now) {
        Some(Change::Opened) => {
            tracing::warn!(
                policy,
                route,
                "the policy keeps failing: its fault circuit is open"
            );
        }
        Some(Change::Closed) => {
            tracing::info!(policy, route, "the policy's fault circuit is closed");
        }
        None => {}
    }
}

/// Counts a hook that is not called; what the client is told where the policy fails closed.
pub(super) fn not_called(exchange: &Exchange, member: &PolicyUse, phase: Phase) -> GatewayError {
    let policy = &member.name;
    member.series.circuit_refused(phase);
    if let Some(entry) = &exchange.entry {
        entry.asked(policy, phase, "circuit-open", Duration::ZERO);
    }
    exchange.trace.not_called(policy, phase);
    GatewayError::PolicyCircuitOpen {
        policy: policy.clone(),
        phase,
    }
}

async fn timed<V: VerdictName, F: Future<Output = Ended<V>>>(
    member: &PolicyUse,
    phase: Phase,
    mut exchange: Box<Exchange>,
    hook: impl FnOnce(Box<Exchange>) -> F,
) -> Ended<V> {
    let span = exchange.begin_hook(&member.name, phase);
    let start = Instant::now();
    let (exchange, verdict) = hook(exchange).await;
    note(member, phase, &exchange, &verdict, start.elapsed());
    span.end(&verdict);
    (exchange, verdict)
}

/// Notes how a hook has ended, and how long it took.
pub(super) fn note<V: VerdictName>(
    member: &PolicyUse,
    phase: Phase,
    exchange: &Exchange,
    verdict: &Result<V, Fault>,
    time: Duration,
) {
    member.series.timed(phase, time);
    if let Ok(verdict) = verdict {
        member.series.verdict(phase, verdict.name());
    }
    if let Some(entry) = &exchange.entry {
        let verdict = verdict.as_ref().map_or_else(Fault::kind, V::name);
        entry.asked(&member.name, phase, verdict, time);
    }
}

/// Counts and logs a fault.
pub(super) fn report(
    revision: &Revision,
    exchange: &Exchange,
    member: &PolicyUse,
    phase: Phase,
    fault: &Fault,
) {
    let route = &exchange.route.name;
    member.series.fault(phase, fault.kind());
    if let Some(limit) = fault.limit() {
        member.series.limit_refused(limit);
    }
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
    revision.recent_faults.keep(RecentFault {
        time: SystemTime::now(),
        policy: member.name.to_string(),
        route: route.to_string(),
        phase: phase.name(),
        kind: fault.kind(),
        message: fault.to_string(),
        backtrace: fault.backtrace().map(str::to_owned),
        request: exchange.id.clone(),
        on_failure,
    });
}

/// What the client is told of a fault where the policy fails closed.
pub(super) fn failure(member: &PolicyUse, phase: Phase, fault: Fault) -> GatewayError {
    GatewayError::PolicyFailed {
        policy: member.name.clone(),
        phase,
        fault,
    }
}
