//! `outcall`: requests of a policy's own to upstreams that the operator has granted by name.
//!
//! A policy names an upstream, never an address. What it sends is checked here; `upstream/outcall.rs` sends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};

use crate::capability::log::one_line;
use crate::exchange::Exchange;
use crate::head::REQUEST_ID;
use crate::policy::edit::{EditError, editable_name, field_value, target};
use crate::policy::verdict::Failure;
use crate::route::destination::Target;
use crate::telemetry::outcall::OutcallSeries;
use crate::telemetry::policy_use::LimitCounter;
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE};
use crate::upstream::outcall::{Answer, Outcall, OutcallError};
use crate::wasm::bindings::portcullis::capability::outcall::{Error, Host, Request, Response};
use crate::wasm::fault::HostDefect;
use crate::wasm::state::HostState;

/// Fields of one request, and the bytes of their names and values.
const MAX_FIELDS: usize = 256;
const MAX_FIELD_BYTES: usize = 64 << 10;
/// Bytes of a guest's name that an answer repeats.
const MAX_NAME_BYTES: usize = 64;

/// Where a use of a policy may send requests, how many in a hook, and how large.
pub struct OutcallGrant {
    /// By name.
    pub upstreams: Vec<Target>,
    /// What is measured of requests to them, in the same order; empty: nothing.
    pub series: Vec<Arc<OutcallSeries>>,
    /// `limits.outcalls`.
    pub calls: u32,
    /// `limits.outcall_body`.
    pub body_bytes: usize,
    /// Counts what is beyond the one limit,
    pub refused_calls: LimitCounter,
    /// and beyond the other.
    pub refused_bodies: LimitCounter,
}

impl Host for HostState {
    async fn send(
        &mut self,
        upstream: String,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Error>> {
        self.called()?;
        let capabilities = self.capabilities.clone();
        let grant = match (&capabilities.outcall, self.phase) {
            (Some(grant), Some(_)) => grant,
            (None, Some(_)) => return Ok(denied("the policy has no grant for outcall")),
            (_, None) => return Ok(denied("not during describe and configure")),
        };
        let Some(place) = grant.find(&upstream) else {
            let name = one_line(&upstream, MAX_NAME_BYTES);
            // The same for one that does not exist: a policy can't find out what there is.
            return Ok(denied(&format!("upstream {name:?} is not granted")));
        };
        if self.outcalls >= grant.calls {
            grant.refused_calls.refused();
            return Ok(denied(&format!("limits.outcalls is {}", grant.calls)));
        }
        if request.body.len() > grant.body_bytes {
            grant.refused_bodies.refused();
            return Ok(Err(Error::TooLarge));
        }
        self.outcalls += 1;
        let exchange = self.exchange()?;
        let timeout = timeout(&request);
        let outcall = match checked(exchange, request) {
            Ok(request) => Outcall {
                policy: capabilities.policy.clone(),
                series: grant.series.get(place).cloned(),
                upstream: grant.upstreams[place].place,
                request,
                client: exchange.client.ip(),
                timeout,
                max_body: grant.body_bytes,
                trace: (exchange.trace.clone(), exchange.hook_span),
            },
            Err(error) => return Ok(Err(Error::Other(error.to_string()))),
        };
        let Some(desk) = &self.outcall_desk else {
            return Err(HostDefect("nobody sends this sandbox's requests").into());
        };
        let answer = desk.ask(outcall).await;
        if matches!(answer, Err(OutcallError::TooLarge)) {
            grant.refused_bodies.refused();
        }
        Ok(answer.map(response).map_err(refusal))
    }
}

impl OutcallGrant {
    /// The place of that upstream among those that are granted.
    fn find(&self, upstream: &str) -> Option<usize> {
        let mut granted = self.upstreams.iter();
        granted.position(|target| *target.name == *upstream)
    }
}

fn denied<T>(why: &str) -> Result<T, Error> {
    Err(Error::Denied(why.to_owned()))
}

fn timeout(request: &Request) -> Duration {
    match request.timeout_ms {
        0 => Duration::MAX,
        millis => Duration::from_millis(millis.into()),
    }
}

/// The request as it goes out for this exchange; nothing in it is the gateway's to say.
fn checked(exchange: &Exchange, request: Request) -> Result<http::Request<Bytes>, EditError> {
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| EditError::Invalid(format!("method {:?}", request.method)))?;
    if method == Method::CONNECT {
        return Err(EditError::Forbidden("method CONNECT".into()));
    }
    let target = target(&request.path_with_query, &exchange.route.paths)?;
    let mut headers = fields(request.headers)?;
    let has_content = matches!(method, Method::POST | Method::PUT | Method::PATCH);
    if has_content || !request.body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, request.body.len().into());
    }
    sign(&mut headers, exchange);
    let mut checked = http::Request::new(Bytes::from(request.body));
    *checked.method_mut() = method;
    *checked.uri_mut() = Uri::from(target);
    *checked.headers_mut() = headers;
    Ok(checked)
}

fn fields(given: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, EditError> {
    let too_much = |what: &str| EditError::Invalid(format!("more than {what} in one request"));
    if given.len() > MAX_FIELDS {
        return Err(too_much(&format!("{MAX_FIELDS} fields")));
    }
    let bytes: usize = given
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_FIELD_BYTES {
        return Err(too_much(&format!("{MAX_FIELD_BYTES} bytes of fields")));
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 4);
    for (name, value) in given {
        let name = editable_name(&name)?;
        if is_gateways(&name) {
            return Err(EditError::Forbidden(name.as_str().to_owned()));
        }
        let value = field_value(&name, &value)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What the gateway says beside framing, hop-by-hop fields and the host.
fn is_gateways(name: &HeaderName) -> bool {
    *name == header::EXPECT || *name == header::VIA
}

/// Tells on whose behalf: the exchange's id, the trace that it belongs to, and the gateways that its request has come
/// through, so that one which goes in circles can be seen to.
fn sign(headers: &mut HeaderMap, exchange: &Exchange) {
    for gateway in exchange.request.headers.get_all(header::VIA) {
        headers.append(header::VIA, gateway.clone());
    }
    if let Ok(id) = HeaderValue::from_str(&exchange.id) {
        headers.entry(REQUEST_ID).or_insert(id);
    }
    let fields = &exchange.request.headers;
    if let (Some(parent), false) = (fields.get(TRACEPARENT), headers.contains_key(TRACEPARENT)) {
        headers.insert(TRACEPARENT, parent.clone());
        for state in fields.get_all(TRACESTATE) {
            headers.append(TRACESTATE, state.clone());
        }
    }
}

fn response(answer: Answer) -> Response {
    let fields = answer.headers.iter();
    Response {
        status: answer.status.as_u16(),
        headers: fields
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: answer.body,
    }
}

fn refusal(error: OutcallError) -> Error {
    match error {
        OutcallError::TooLarge => Error::TooLarge,
        OutcallError::Failed(Failure::ConnectTimeout | Failure::ResponseTimeout) => Error::TimedOut,
        OutcallError::Failed(failure) => Error::Unavailable(failure.name().to_owned()),
    }
}
