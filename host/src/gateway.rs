//! A request's way through the gateway, on one page.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::GatewayError;
use crate::exchange::{Exchange, ResponseHead};
use crate::forwarding::{self, REQUEST_ID};
use crate::policy::chain::{self, Replacement, RequestOutcome};
use crate::respond;
use crate::route;
use crate::upstream::body::{BodyError, UpstreamBody};
use crate::upstream::dispatch;
use crate::worker::{Revision, Worker};

/// What nginx notes for a client that went away before its answer; it is never sent.
const CLIENT_CLOSED: u16 = 499;

/// The peer of a connection, in the forms that requests need.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// The same for `x-forwarded-for`.
    pub forwarded_for: HeaderValue,
}

impl Client {
    /// The peer at that address.
    pub fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical().to_string();
        // An address in text is a valid field value.
        let forwarded_for =
            HeaderValue::try_from(ip).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address,
            forwarded_for,
        }
    }
}

/// Serves one request: route, policies, upstream, policies.
pub async fn handle(
    worker: &Worker,
    client: &Client,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let revision = worker.revision();
    let id = worker.next_id();
    let mut record = Record::new(revision.clone(), request.method().clone());
    let (head, body) = match forwarding::admit(request, &client.forwarded_for, &id) {
        Ok(admitted) => admitted,
        Err(error) => return refuse(&error, &id, record),
    };
    let Some(route) = route::find(&revision.snapshot.routes, &head) else {
        return refuse(&GatewayError::NoRoute, &id, record);
    };
    record.route = Some(route.index);
    let exchange = Box::new(Exchange::new(
        id,
        client.address,
        route.clone(),
        head,
        record.started,
    ));
    let (exchange, outcome) = chain::on_request(&revision, exchange).await;
    let (exchange, body, passed) = match outcome {
        RequestOutcome::Next => {
            let (exchange, answer) = dispatch::dispatch(&revision, exchange, body).await;
            let passed = exchange.route.chain.len();
            match answer {
                Ok(body) => (exchange, Content::Upstream(body), passed),
                Err(error) => fail(exchange, &error, passed),
            }
        }
        RequestOutcome::Respond(place, response) => answer_locally(exchange, place, response),
        RequestOutcome::Failed(place, error) => fail(exchange, &error, place),
    };
    let (exchange, body) = respond_through_chain(&revision, exchange, body, passed).await;
    deliver(*exchange, body, record)
}

/// Lets the policies that the request has passed see and change the response.
async fn respond_through_chain(
    revision: &Revision,
    mut exchange: Box<Exchange>,
    mut body: Content,
    mut passed: usize,
) -> (Box<Exchange>, Content) {
    loop {
        let (back, replacement) = chain::on_response(revision, exchange, passed).await;
        (exchange, body, passed) = match replacement {
            None => return (back, body),
            Some((_, Replacement::Policy(place, response))) => {
                answer_locally(back, place, response)
            }
            Some((place, Replacement::Failed(error))) => fail(back, &error, place),
        };
    }
}

fn answer_locally(
    mut exchange: Box<Exchange>,
    place: usize,
    response: crate::exchange::LocalResponse,
) -> (Box<Exchange>, Content, usize) {
    let policy = exchange.route.chain[place].name.clone();
    let (head, body) = respond::local(policy, response);
    exchange.response = Some(head);
    (exchange, Content::Whole(body), place)
}

fn fail(
    mut exchange: Box<Exchange>,
    error: &GatewayError,
    passed: usize,
) -> (Box<Exchange>, Content, usize) {
    if !matches!(error, GatewayError::PolicyFailed { .. }) {
        tracing::warn!(
            route = &*exchange.route.name,
            request = exchange.id,
            code = error.code(),
            "{error}"
        );
    }
    let (head, body) = respond::error(error, &exchange.id);
    exchange.response = Some(head);
    (exchange, Content::Whole(body), passed)
}

/// Answers a request that is nobody's: no policy has seen it.
fn refuse(error: &GatewayError, id: &str, record: Record) -> Response<ResponseBody> {
    let (head, body) = respond::error(error, id);
    assemble(head, id, Content::Whole(body), record)
}

fn deliver(exchange: Exchange, body: Content, record: Record) -> Response<ResponseBody> {
    let head = exchange.response.unwrap_or_else(|| {
        // Every way to here has set a response; should one not, the client still gets an answer.
        respond::error(
            &GatewayError::BadRequest("no response was made"),
            &exchange.id,
        )
        .0
    });
    assemble(head, &exchange.id, body, record)
}

fn assemble(
    head: ResponseHead,
    id: &str,
    content: Content,
    mut record: Record,
) -> Response<ResponseBody> {
    record.status = head.status;
    let mut response = Response::new(ResponseBody {
        content,
        _record: record,
    });
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The body that goes to the client; ends the record of its request when it is dropped.
pub struct ResponseBody {
    content: Content,
    _record: Record,
}

enum Content {
    /// Passed on as it comes.
    Upstream(UpstreamBody),
    /// The gateway's or a policy's own.
    Whole(Bytes),
}

/// What is measured of a request; recorded when nothing more happens to it, whatever the reason.
struct Record {
    revision: Rc<Revision>,
    route: Option<usize>,
    method: Method,
    status: StatusCode,
    started: Instant,
}

impl Record {
    fn new(revision: Rc<Revision>, method: Method) -> Self {
        let status = StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            revision,
            route: None,
            method,
            status,
            started: Instant::now(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let revision = &self.revision;
        let slots = self
            .route
            .and_then(|route| revision.slots.get(route))
            .unwrap_or(&revision.unrouted);
        slots.record(
            &revision.metrics,
            &self.method,
            self.status,
            self.started.elapsed(),
        );
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().content {
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Upstream(body) => body.size_hint(),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
