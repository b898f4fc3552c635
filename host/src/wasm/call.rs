//! One hook of one policy: lend the exchange, call, take it back, say what happened.

use std::time::{Duration, Instant};

use wasmtime::component::Resource;

use super::Phase;
use super::bindings::exports::portcullis::policy::{
    on_attempt as guest_attempt, on_log as guest_log, on_request, on_response,
};
use super::bindings::portcullis::policy::http::LocalResponse as GuestResponse;
use super::body_desk;
use super::fault::{Fault, HostDefect};
use super::limiter::Refused;
use super::outcall_desk::{self, Sender};
use super::policy::Policy;
use super::sandbox::{Sandbox, SandboxPool};
use super::state::THE_ONE;
use crate::capability::log;
use crate::client_body::ClientBody;
use crate::exchange::{Exchange, LocalResponse};
use crate::policy::edit::local_response;
use crate::policy::lent_body::LentBody;
use crate::policy::verdict::{
    Attempt, AttemptVerdict, EndpointChoice, Failure, RequestVerdict, ResponseVerdict, RetryPlan,
    Summary,
};
use crate::response_body::Content;
use crate::telemetry::policy_use::UseSeries;

/// Bytes of a guest's error that reach the log.
const MAX_ERROR_BYTES: usize = 512;

/// Where a hook is run: the worker and what it has for the hook, the policy's place in the chain.
pub struct Seat<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// This worker's idle instances of this use.
    pub pool: &'a SandboxPool,
    /// The worker's number.
    pub worker: usize,
    /// Who sends the hook's requests.
    pub sender: Sender<'a>,
    /// Where it is counted what policies were refused, if it is.
    pub series: Option<&'a UseSeries>,
    /// The policy's place in its chain.
    pub place: usize,
}

/// The exchange comes back whatever happened.
pub type Ended<V> = (Box<Exchange>, Result<V, Fault>);

pub(super) type HookResult<V> = wasmtime::Result<Result<V, String>>;

/// Asks `on-request`.
pub async fn on_request(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    body: &mut ClientBody,
) -> Ended<RequestVerdict> {
    let (exchange, answer) = run(
        seat,
        exchange,
        LentBody::Request(body),
        Phase::OnRequest,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_request, || {
                let indices = policy.hooks.on_request.as_ref().ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            guest
                .call_on_request(&mut sandbox.store, Resource::new_borrow(THE_ONE))
                .await
        },
    )
    .await;
    let verdict = answer.and_then(|verdict| match verdict {
        on_request::Verdict::Next => Ok(RequestVerdict::Next),
        on_request::Verdict::Respond(response) => checked(response).map(RequestVerdict::Respond),
    });
    (exchange, verdict)
}

/// Asks `on-response`; the exchange has a response.
pub async fn on_response(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    content: &mut Content,
) -> Ended<ResponseVerdict> {
    let (exchange, answer) = run(
        seat,
        exchange,
        LentBody::Response(content),
        Phase::OnResponse,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_response, || {
                let indices = policy.hooks.on_response.as_ref().ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            let (lent, response) = (Resource::new_borrow(THE_ONE), Resource::new_borrow(THE_ONE));
            guest
                .call_on_response(&mut sandbox.store, lent, response)
                .await
        },
    )
    .await;
    let verdict = answer.and_then(|verdict| match verdict {
        on_response::Verdict::Next => Ok(ResponseVerdict::Next),
        on_response::Verdict::Replace(response) => checked(response).map(ResponseVerdict::Replace),
    });
    (exchange, verdict)
}

/// Asks `on-attempt`; the exchange has a response unless the attempt failed.
pub async fn on_attempt(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    last: &Attempt,
) -> Ended<AttemptVerdict> {
    let facts = guest_facts(last);
    let answered = exchange.response.is_some();
    let lent = LentBody::None;
    let (exchange, answer) = run(
        seat,
        exchange,
        lent,
        Phase::OnAttempt,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_attempt, || {
                let indices = policy.hooks.on_attempt.as_ref().ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            let response = answered.then(|| Resource::new_borrow(THE_ONE));
            guest
                .call_on_attempt(
                    &mut sandbox.store,
                    Resource::new_borrow(THE_ONE),
                    &facts,
                    response,
                )
                .await
        },
    )
    .await;
    (exchange, answer.map(host_verdict))
}

/// Asks `on-log`; the exchange has a response if there was one.
pub async fn on_log(seat: &Seat<'_>, exchange: Box<Exchange>, summary: &Summary) -> Ended<()> {
    let facts = guest_summary(summary);
    let answered = exchange.response.is_some();
    let lent = LentBody::None;
    run(
        seat,
        exchange,
        lent,
        Phase::OnLog,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_log, || {
                let indices = policy.hooks.on_log.as_ref().ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            let response = answered.then(|| Resource::new_borrow(THE_ONE));
            let exchange = Resource::new_borrow(THE_ONE);
            guest
                .call_on_log(&mut sandbox.store, exchange, response, &facts)
                .await
                .map(Ok)
        },
    )
    .await
}

/// The frame of every hook: a sandbox, the exchange lent to it, its time, and the clean-up.
async fn run<V>(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    mut body: LentBody<'_>,
    phase: Phase,
    hook: impl AsyncFnOnce(&Policy, &mut Sandbox) -> HookResult<V>,
) -> Ended<V> {
    let time = time_for(seat.policy, &exchange, phase);
    let mut sandbox = seat
        .pool
        .take()
        .unwrap_or_else(|| Sandbox::new(seat.policy, seat.worker, seat.place));
    sandbox.store.data_mut().lend(exchange, phase);
    let state = sandbox.store.data();
    let (bodies, outcalls) = (state.desk.clone(), state.outcall_desk.clone());
    let hook = hook(seat.policy, &mut sandbox);
    let hook = outcall_desk::serve(outcalls.as_deref(), seat.sender, hook);
    let hook = body_desk::serve(bodies.as_deref(), &mut body, hook);
    let ended = tokio::time::timeout(time, hook).await;
    let peers = body.is_awaited();
    body.rest();
    let (mut exchange, answer) = settle(seat, sandbox, ended.map_err(drop), time);
    let answer = match answer {
        Ok(answer) => {
            commit(&mut exchange, &mut body, seat.place);
            Ok(answer)
        }
        Err(fault) => {
            exchange.discard_edits();
            Err(match peers {
                true => Fault::PeersBody(Box::new(fault)),
                false => fault,
            })
        }
    };
    (exchange, answer)
}

/// Takes the exchange back from a hook that has ended, or not within `time`, and gives the sandbox back if
/// it ended well.
pub(super) fn settle<V>(
    seat: &Seat<'_>,
    mut sandbox: Sandbox,
    ended: Result<HookResult<V>, ()>,
    time: Duration,
) -> Ended<V> {
    let state = sandbox.store.data_mut();
    let refused = state.limiter.refused;
    let excess = state.excess_of_calls();
    let exchange = state
        .take_back()
        .expect("only take_back takes the lent exchange, and it is called once");
    let answer = classify(ended, time, refused).and_then(|answer| match excess {
        Some(passed) => Err(Fault::passed(passed)),
        None => Ok(answer),
    });
    // An error that the guest answered in good order leaves its store usable, but a guest that is in
    // doubt is not used again.
    if answer.is_ok() {
        // It has got by without.
        if let (Some(passed), Some(series)) = (refused.and_then(Refused::limit), seat.series) {
            series.limit_refused(passed.limit());
        }
        seat.pool.give_back(seat.policy, sandbox);
    }
    (exchange, answer)
}

fn time_for(policy: &Policy, exchange: &Exchange, phase: Phase) -> Duration {
    match phase {
        // The answer to a passed deadline passes these hooks as well; they have their own limit.
        Phase::OnResponse | Phase::OnResponseBody | Phase::OnLog => policy.time,
        Phase::OnRequest | Phase::OnRequestBody | Phase::OnAttempt => {
            policy.time.min(exchange.remaining(Instant::now()))
        }
    }
}

fn commit(exchange: &mut Exchange, body: &mut LentBody<'_>, place: usize) {
    let replaced = exchange.edits.take_body();
    exchange.commit(place);
    // A client's body that broke off is what the gateway answers to, whatever a policy made of it.
    if let Some(bytes) = replaced
        && body.failure().is_none()
    {
        body.replace(bytes, exchange);
    }
}

fn classify<V>(
    ended: Result<HookResult<V>, ()>,
    time: Duration,
    refused: Option<Refused>,
) -> Result<V, Fault> {
    match ended {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(message))) => Err(Fault::Error(log::one_line(&message, MAX_ERROR_BYTES))),
        Ok(Err(error)) => Err(Fault::from_error(&error, refused)),
        Err(()) => Err(Fault::Deadline(time)),
    }
}

/// The hook's function in this instance, looked up once.
pub(super) fn loaded<G>(
    slot: &mut Option<G>,
    load: impl FnOnce() -> wasmtime::Result<G>,
) -> wasmtime::Result<&G> {
    if slot.is_none() {
        *slot = Some(load()?);
    }
    slot.as_ref().ok_or_else(not_exported)
}

pub(super) fn not_exported() -> wasmtime::Error {
    HostDefect("the hook is not exported").into()
}

fn checked(response: GuestResponse) -> Result<LocalResponse, Fault> {
    local_response(response.status, response.headers, response.body)
        .map_err(|error| Fault::Error(format!("its response can't be sent: {error}")))
}

fn guest_facts(last: &Attempt) -> guest_attempt::Attempt {
    guest_attempt::Attempt {
        number: last.number,
        upstream: last.upstream.to_string(),
        endpoint: last.endpoint.to_string(),
        elapsed_ms: millis(last.elapsed),
        total_ms: millis(last.total),
        remaining_ms: Some(millis(last.remaining)),
        sent: last.sent,
        idempotent: last.idempotent,
        replayable: last.replayable,
        failure: last.failure.map(guest_failure),
    }
}

fn guest_summary(summary: &Summary) -> guest_log::Summary {
    guest_log::Summary {
        status: summary.status.as_u16(),
        attempts: summary.attempts,
        total_ms: millis(summary.total),
        request_bytes: summary.request_bytes,
        response_bytes: summary.response_bytes,
        ended: summary.ended.to_owned(),
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn guest_failure(failure: Failure) -> guest_attempt::Failure {
    match failure {
        Failure::NoEndpoint => guest_attempt::Failure::NoEndpoint,
        Failure::Overloaded => guest_attempt::Failure::Overloaded,
        Failure::Dns => guest_attempt::Failure::Dns,
        Failure::ConnectRefused => guest_attempt::Failure::ConnectRefused,
        Failure::ConnectTimeout => guest_attempt::Failure::ConnectTimeout,
        Failure::Tls => guest_attempt::Failure::Tls,
        Failure::Send => guest_attempt::Failure::Send,
        Failure::Reset => guest_attempt::Failure::Reset,
        Failure::ResponseTimeout => guest_attempt::Failure::ResponseTimeout,
        Failure::Protocol => guest_attempt::Failure::Protocol,
        Failure::RequestBody | Failure::Other => guest_attempt::Failure::Other,
    }
}

fn host_verdict(verdict: guest_attempt::Verdict) -> AttemptVerdict {
    match verdict {
        guest_attempt::Verdict::Abstain => AttemptVerdict::Abstain,
        guest_attempt::Verdict::Deliver => AttemptVerdict::Deliver,
        guest_attempt::Verdict::Retry(plan) => AttemptVerdict::Retry(RetryPlan {
            delay: Duration::from_millis(plan.delay_ms.into()),
            endpoint: match plan.endpoint {
                guest_attempt::EndpointChoice::Any => EndpointChoice::Any,
                guest_attempt::EndpointChoice::OtherEndpoint => EndpointChoice::Other,
                guest_attempt::EndpointChoice::Same => EndpointChoice::Same,
            },
            timeout: plan
                .try_timeout_ms
                .map(|ms| Duration::from_millis(ms.into())),
        }),
    }
}
