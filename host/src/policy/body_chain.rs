//! A route's policies through which bodies stream: requests' first to last, responses' last to first, each
//! reading what the one before it writes.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::header::CONTENT_LENGTH;
use http_body::Body;
use portcullis_config::OnFailure;

use super::PolicyUse;
use super::body_passage::BodyPassage;
use super::body_stage::{BodyStage, Hook, HookFailure};
use super::chain::{failure, not_called, note, report, seat, tell_circuit};
use super::lent_body::has_no_body;
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::Exchange;
use crate::response_body::Content;
use crate::route::Route;
use crate::wasm::stream_desk::StreamDesk;
use crate::wasm::{Phase, body_call};
use crate::worker::Revision;

/// Has the request's body pass through every policy's `on-request-body`. The instances are there when this
/// returns, and are called as the upstream takes the body; an error if one that fails closed can't be had.
pub async fn on_request(
    revision: &Rc<Revision>,
    exchange: &mut Exchange,
    mut body: ClientBody,
    passage: &BodyPassage,
) -> Result<ClientBody, GatewayError> {
    if body.is_end_stream() {
        return Ok(body);
    }
    let (route, phase) = (exchange.route.clone(), Phase::OnRequestBody);
    passage.bound(route.body.idle);
    for place in places(&route, phase) {
        if let Some(hook) = begin(revision, exchange, place, phase).await? {
            let stage = BodyStage::new(body, hook, passage.clone());
            body = ClientBody::Streamed(Box::new(stage));
            exchange.request.headers.remove(CONTENT_LENGTH);
        }
    }
    Ok(body)
}

/// Has the response's body pass through `on-response-body` of the policies below `passed`, in the same way.
pub async fn on_response(
    revision: &Rc<Revision>,
    exchange: &mut Exchange,
    mut body: Content,
    passed: usize,
) -> Result<Content, GatewayError> {
    let (route, phase) = (exchange.route.clone(), Phase::OnResponseBody);
    if has_no_body(exchange).is_some() {
        // RFC 9110 §8.6: a length that is told without a body is that of the body that would be sent.
        if let (true, Some(response)) = (is_asked(&route, phase), &mut exchange.response) {
            response.headers.remove(CONTENT_LENGTH);
        }
        return Ok(body);
    }
    if body.is_end_stream() {
        return Ok(body);
    }
    let below = places(&route, phase).filter(|place| *place < passed);
    for place in below.rev() {
        if let Some(hook) = begin(revision, exchange, place, phase).await? {
            let stage = BodyStage::new(body, hook, BodyPassage::default());
            body = Content::Streamed(Box::new(stage));
            if let Some(response) = &mut exchange.response {
                response.headers.remove(CONTENT_LENGTH);
            }
        }
    }
    Ok(body)
}

/// Whether a policy of the route wants bodies at this phase.
pub fn is_asked(route: &Route, phase: Phase) -> bool {
    places(route, phase).next().is_some()
}

fn places(route: &Route, phase: Phase) -> impl DoubleEndedIterator<Item = usize> {
    let members = route.chain.iter().enumerate();
    members
        .filter(move |(_, member)| member.policy.exports(phase))
        .map(|(place, _)| place)
}

/// A hook that waits for its body, at its desk; `None` where it can't be had, and the policy fails open.
async fn begin(
    revision: &Rc<Revision>,
    exchange: &mut Exchange,
    place: usize,
    phase: Phase,
) -> Result<Option<(Arc<StreamDesk>, Hook)>, GatewayError> {
    let desk = Arc::<StreamDesk>::default();
    let copy = Box::new(exchange.copy());
    let mut hook: Hook = Box::pin(ask(revision.clone(), copy, place, phase, desk.clone()));
    let early = poll_fn(|cx| match hook.as_mut().poll(cx) {
        Poll::Ready(failure) => Poll::Ready(Some(failure)),
        Poll::Pending if desk.is_ready() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match early.await {
        None => Ok(Some((desk, hook))),
        Some(Some(HookFailure { error, open: false })) => Err(error),
        Some(_) => Ok(None),
    }
}

/// Asks the hook, unless its use's circuit is open, and tells of how it ended.
async fn ask(
    revision: Rc<Revision>,
    mut exchange: Box<Exchange>,
    place: usize,
    phase: Phase,
    desk: Arc<StreamDesk>,
) -> Option<HookFailure> {
    let route = exchange.route.clone();
    let member = &route.chain[place];
    let circuit = member.fault_circuit.as_ref();
    let pass = match circuit.map(|circuit| circuit.enter(phase, Instant::now)) {
        Some(None) => {
            let error = not_called(&exchange, member, phase);
            return Some(failed(member, error));
        }
        Some(pass) => pass,
        None => None,
    };
    let span = exchange.begin_hook(&member.name, phase);
    let seat = seat(&revision, member);
    let (exchange, answer) = match phase {
        Phase::OnRequestBody => body_call::on_request_body(&seat, exchange, &desk).await,
        _ => body_call::on_response_body(&seat, exchange, &desk).await,
    };
    note(member, phase, &exchange, &answer, desk.worked());
    span.end(&answer);
    if let Some(pass) = pass {
        tell_circuit(pass, member, &route.name, answer.as_ref().err());
    }
    let fault = answer.err()?;
    report(&revision, &exchange, member, phase, &fault);
    Some(failed(member, failure(member, phase, fault)))
}

fn failed(member: &PolicyUse, error: GatewayError) -> HookFailure {
    HookFailure {
        error,
        open: member.on_failure == OnFailure::Open,
    }
}
