//! A hook of a policy through which a body streams: called once, and as long as the body takes.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::Resource;

use super::Phase;
use super::call::{Ended, HookResult, Seat, loaded, not_exported, settle};
use super::fault::Fault;
use super::outcall_desk;
use super::policy::Policy;
use super::sandbox::Sandbox;
use super::state::THE_ONE;
use super::stream_desk::StreamDesk;
use crate::exchange::Exchange;
use crate::lazy_timer::LazyTimer;

/// Asks `on-request-body`: makes the instance at once, and calls it when the desk is asked for bytes. The
/// exchange is the hook's own copy.
pub async fn on_request_body(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    desk: &Arc<StreamDesk>,
) -> Ended<()> {
    run(
        seat,
        exchange,
        desk,
        Phase::OnRequestBody,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_request_body, || {
                let indices = policy.hooks.on_request_body.as_ref();
                let indices = indices.ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            desk.begin().await;
            let exchange = Resource::new_borrow(THE_ONE);
            let (input, output) = (Resource::new_borrow(THE_ONE), Resource::new_borrow(THE_ONE));
            guest
                .call_on_request_body(&mut sandbox.store, exchange, input, output)
                .await
        },
    )
    .await
}

/// Asks `on-response-body` in the same way; the exchange has a response.
pub async fn on_response_body(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    desk: &Arc<StreamDesk>,
) -> Ended<()> {
    run(
        seat,
        exchange,
        desk,
        Phase::OnResponseBody,
        async |policy, sandbox| {
            let instance = sandbox.instance(policy).await?;
            let guest = loaded(&mut sandbox.guests.on_response_body, || {
                let indices = policy.hooks.on_response_body.as_ref();
                let indices = indices.ok_or_else(not_exported)?;
                indices.load(&mut sandbox.store, &instance)
            })?;
            desk.begin().await;
            let (exchange, response) =
                (Resource::new_borrow(THE_ONE), Resource::new_borrow(THE_ONE));
            let (input, output) = (Resource::new_borrow(THE_ONE), Resource::new_borrow(THE_ONE));
            guest
                .call_on_response_body(&mut sandbox.store, exchange, response, input, output)
                .await
        },
    )
    .await
}

/// The frame of both: as for other hooks, but the time is that of each step.
async fn run(
    seat: &Seat<'_>,
    exchange: Box<Exchange>,
    desk: &Arc<StreamDesk>,
    phase: Phase,
    hook: impl AsyncFnOnce(&Policy, &mut Sandbox) -> HookResult<()>,
) -> Ended<()> {
    let time = seat.policy.time;
    let mut sandbox = seat
        .pool
        .take()
        .unwrap_or_else(|| Sandbox::new(seat.policy, seat.worker, seat.place));
    let state = sandbox.store.data_mut();
    state.lend(exchange, phase);
    state.stream = Some(desk.clone());
    let outcalls = state.outcall_desk.clone();
    desk.start();
    let hook = hook(seat.policy, &mut sandbox);
    let hook = outcall_desk::serve(outcalls.as_deref(), seat.sender, hook);
    let ended = within_steps(desk, time, hook).await;
    let (mut exchange, answer) = settle(seat, sandbox, ended, time);
    match &answer {
        Ok(()) => exchange.commit(seat.place),
        Err(_) => exchange.discard_edits(),
    }
    let answer = answer.map_err(|fault| match desk.is_aborted() {
        true => Fault::PeersBody(Box::new(fault)),
        false => fault,
    });
    (exchange, answer)
}

/// What the hook answers, unless it works longer than `time` in one step.
async fn within_steps<V>(
    desk: &StreamDesk,
    time: Duration,
    hook: impl Future<Output = V>,
) -> Result<V, ()> {
    let (mut hook, mut timer) = (pin!(hook), LazyTimer::default());
    poll_fn(|cx| {
        if let Poll::Ready(answer) = hook.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        match desk.runs_out(time) {
            Some(until) => timer.poll_until(until.into(), cx).map(Err),
            None => Poll::Pending,
        }
    })
    .await
}
