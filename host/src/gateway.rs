//! A request's way through the gateway, on one page.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;

use crate::client::Client;
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::{Exchange, ResponseHead};
use crate::head::{self, REQUEST_ID};
use crate::policy::body_chain;
use crate::policy::chain::{self, Replacement, RequestOutcome};
use crate::record::Record;
use crate::request_limits;
use crate::respond;
use crate::response_body::{Content, ResponseBody};
use crate::route;
use crate::tunnel;
use crate::upstream::{dispatch, mirror};
use crate::wasm::Phase;
use crate::worker::{Revision, Worker};

/// Serves one request: route, policies, upstream, policies.
pub async fn handle(
    worker: &Worker,
    client: &Client,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let revision = worker.revision();
    let mut id = worker.next_id();
    let mut record = Record::new(revision.clone(), client, &id, &request);
    if let Err(error) = request_limits::admit(&revision, &mut record, &request) {
        return refuse(&error, Some(request.headers()), &id, record);
    }
    let request = request.map(|body| ClientBody::new(body, &client.pulse));
    let rules = &revision.snapshot.head_rules;
    let (mut head, origin, mut body) = match head::admit(request, client, rules, &mut id) {
        Ok(admitted) => admitted,
        Err(error) => return refuse(&error, None, &id, record),
    };
    record.admitted(&id, origin.address, &mut head.headers);
    let Some(route) = route::find(&revision.snapshot.table, &revision.snapshot.routes, &head)
    else {
        return refuse(&GatewayError::NoRoute, Some(&head.headers), &id, record);
    };
    record.routed(route.index);
    record.until = route.duration.map(|duration| record.started + duration);
    record.body = body.bound(route.body);
    if let Some(error) = record.body_error() {
        return refuse(&error, Some(&head.headers), &id, record);
    }
    let mut exchange = Box::new(Exchange::new(
        id,
        origin,
        route.clone(),
        head,
        record.started,
    ));
    exchange.tls.clone_from(&client.tls);
    exchange.entry = record.entry();
    exchange.trace = record.trace();
    record.kept = exchange.keep();
    let (exchange, outcome) = chain::on_request(&revision, exchange, &mut body).await;
    let (exchange, body, passed) = match outcome {
        RequestOutcome::Next => answer(&revision, exchange, body, &record).await,
        RequestOutcome::Respond(place, response) => answer_locally(exchange, place, response),
        RequestOutcome::Failed(place, error) => fail(exchange, &error, place),
    };
    let (exchange, body, passed) = respond_through_chain(&revision, exchange, body, passed).await;
    let (exchange, body) = stream_through_chain(client, &revision, exchange, body, passed).await;
    deliver(exchange, body, record)
}

/// Has the request answered by the route's destination.
async fn answer(
    revision: &Rc<Revision>,
    mut exchange: Box<Exchange>,
    mut body: ClientBody,
    record: &Record,
) -> (Box<Exchange>, Content, usize) {
    let passed = exchange.route.chain.len();
    let Some(upstream) = exchange.upstream else {
        return match respond::natively(&exchange) {
            Ok(answer) => give(exchange, answer, passed),
            Err(error) => fail(exchange, &error, passed),
        };
    };
    if body_chain::is_asked(&exchange.route, Phase::OnRequestBody) {
        let passing = body_chain::on_request(revision, &mut exchange, body, &record.passage);
        body = match Box::pin(passing).await {
            Ok(passing) => passing,
            Err(error) => return fail(exchange, &error, passed),
        };
    }
    mirror::start(revision, &exchange, &mut body);
    let (exchange, answer) = dispatch::dispatch(revision, exchange, upstream, body).await;
    record.body.answered();
    match answer {
        Ok(body) => (exchange, Content::Upstream(body), passed),
        Err(error) => {
            let to_blame = record.body_error().or_else(|| record.passage_error());
            fail(exchange, &to_blame.unwrap_or(error), passed)
        }
    }
}

/// Lets the policies that the request has passed see and change the response.
async fn respond_through_chain(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    mut body: Content,
    mut passed: usize,
) -> (Box<Exchange>, Content, usize) {
    loop {
        let (back, replacement) = chain::on_response(revision, exchange, &mut body, passed).await;
        (exchange, body, passed) = match replacement {
            None => return (back, body, passed),
            Some((_, Replacement::Policy(place, response))) => {
                answer_locally(back, place, response)
            }
            Some((place, Replacement::Failed(error))) => fail(back, &error, place),
        };
    }
}

/// Has the response's body pass through the policies that want to see it as it streams.
async fn stream_through_chain(
    client: &Client,
    revision: &Rc<Revision>,
    mut exchange: Box<Exchange>,
    mut body: Content,
    passed: usize,
) -> (Box<Exchange>, Content) {
    tunnel::prepare(client, &mut exchange, &mut body);
    respond::in_the_clients_protocol(&mut exchange, &mut body);
    if !body_chain::is_asked(&exchange.route, Phase::OnResponseBody) {
        return (exchange, body);
    }
    let passing = body_chain::on_response(revision, &mut exchange, body, passed);
    match Box::pin(passing).await {
        Ok(body) => (exchange, body),
        // All policies have been asked what they say of the response.
        Err(error) => {
            let (mut exchange, mut body, _) = fail(exchange, &error, 0);
            respond::in_the_clients_protocol(&mut exchange, &mut body);
            (exchange, body)
        }
    }
}

fn answer_locally(
    exchange: Box<Exchange>,
    place: usize,
    response: crate::exchange::LocalResponse,
) -> (Box<Exchange>, Content, usize) {
    let policy = exchange.route.chain[place].name.clone();
    give(exchange, respond::local(policy, response), place)
}

fn give(
    mut exchange: Box<Exchange>,
    (head, body): (ResponseHead, Bytes),
    passed: usize,
) -> (Box<Exchange>, Content, usize) {
    exchange.response = Some(head);
    (exchange, Content::Whole(body), passed)
}

fn fail(
    exchange: Box<Exchange>,
    error: &GatewayError,
    passed: usize,
) -> (Box<Exchange>, Content, usize) {
    // The chain has logged a policy's faults, and when its circuit opened.
    let logged = matches!(
        error,
        GatewayError::PolicyFailed { .. } | GatewayError::PolicyCircuitOpen { .. }
    );
    if !logged {
        tracing::warn!(
            route = &*exchange.route.name,
            request = exchange.id,
            code = error.code(),
            "{error}"
        );
    }
    let answer = respond::error(error, &exchange.id);
    give(exchange, answer, passed)
}

/// Answers a request that is nobody's: no policy has seen it. Its fields, where they are sound, tell in
/// which words.
fn refuse(
    error: &GatewayError,
    fields: Option<&HeaderMap>,
    id: &str,
    record: Record,
) -> Response<ResponseBody> {
    let (mut head, mut body) = respond::error(error, id);
    if let Some(fields) = fields {
        respond::in_words_for(fields, &mut head, &mut body);
    }
    assemble(head, id, Content::Whole(body), (record, Duration::ZERO))
}

fn deliver(mut exchange: Box<Exchange>, body: Content, record: Record) -> Response<ResponseBody> {
    let mut head = exchange.response.take().unwrap_or_else(|| {
        // Every way to here has set a response; should one not, the client still gets an answer.
        respond::error(
            &GatewayError::BadRequest("no response was made"),
            &exchange.id,
        )
        .0
    });
    if let Some(edits) = &exchange.route.response_edits {
        edits.apply(&mut head.headers, &exchange);
    }
    if exchange.is_kept() {
        exchange.response = Some(head.clone());
    }
    let upstream_time = exchange.upstream_time;
    assemble(head, &exchange.id, body, (record, upstream_time))
}

fn assemble(
    head: ResponseHead,
    id: &str,
    content: Content,
    (mut record, upstream_time): (Record, Duration),
) -> Response<ResponseBody> {
    record.answered(&head, upstream_time);
    let last = record.must_be_last();
    let mut response = Response::new(ResponseBody::new(content, record));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
