//! The only place that makes responses of the gateway's own.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::error::GatewayError;
use crate::exchange::{Exchange, LocalResponse, ResponseHead, ResponseSource};
use crate::grpc;
use crate::response_body::Content;
use crate::route::destination::Destination;
use crate::route::fixed_response::FixedResponse;
use crate::route::redirect::Redirect;

/// Names the error for machines.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-portcullis-error");

/// An error as a response: problem details (RFC 9457) with a stable code.
pub fn error(error: &GatewayError, request_id: &str) -> (ResponseHead, Bytes) {
    let (status, code) = (error.status(), error.code());
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": error.public_detail(),
        "code": code,
        "request_id": request_id,
    });
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if matches!(error, GatewayError::Framing(_)) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
    if matches!(error, GatewayError::Overloaded) {
        // A request takes far less than a second: then there is room again, or still too much to do.
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    (
        ResponseHead {
            source: ResponseSource::Gateway(code),
            status,
            headers,
        },
        problem.to_string().into(),
    )
}

/// The whole answer to a head that did not come to its end in time, for a connection of HTTP/1.
pub fn late_head() -> &'static [u8] {
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\nx-portcullis-error: request-head-timeout\r\n\r\n"
}

/// The answer of a route without an upstream.
pub fn natively(exchange: &Exchange) -> Result<(ResponseHead, Bytes), GatewayError> {
    match &exchange.route.destination {
        Destination::Redirect(redirect) => redirected(redirect, exchange),
        Destination::Respond(response) => Ok(fixed(response, exchange)),
        Destination::Upstream(_) | Destination::Split(_) => Err(GatewayError::NoRoute),
    }
}

fn redirected(
    redirect: &Redirect,
    exchange: &Exchange,
) -> Result<(ResponseHead, Bytes), GatewayError> {
    let location = redirect
        .location(&exchange.request, exchange.scheme)
        .ok_or(GatewayError::TargetTooLong)?;
    let head = ResponseHead {
        source: ResponseSource::Gateway("redirect"),
        status: redirect.status,
        headers: HeaderMap::from_iter([(LOCATION, location)]),
    };
    Ok((head, Bytes::new()))
}

/// What a route answers itself has a code too, and is no failure.
pub fn is_of_the_route(code: &str) -> bool {
    matches!(code, "redirect" | "fixed-response")
}

fn fixed(response: &FixedResponse, exchange: &Exchange) -> (ResponseHead, Bytes) {
    let fields = response.headers.iter();
    let fields = fields.filter_map(|(name, maker)| Some((name.clone(), maker.value(exchange)?)));
    let head = ResponseHead {
        source: ResponseSource::Gateway("fixed-response"),
        status: response.status,
        headers: fields.collect(),
    };
    (head, response.body.clone())
}

/// A policy's answer as a response.
pub fn local(policy: std::sync::Arc<str>, response: LocalResponse) -> (ResponseHead, Bytes) {
    let LocalResponse {
        status,
        headers,
        body,
    } = response;
    // These have no body, whatever the policy gave (RFC 9110 §6.4.1).
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless { Bytes::new() } else { body };
    (
        ResponseHead {
            source: ResponseSource::Policy(policy),
            status,
            headers,
        },
        body,
    )
}

/// Puts an answer of the gateway's or a policy's own into the words of a gRPC client, if it is one. Policies
/// have seen it as HTTP.
pub fn in_the_clients_protocol(exchange: &mut Exchange, content: &mut Content) {
    let (Some(head), Content::Whole(body)) = (&mut exchange.response, content) else {
        return;
    };
    // A policy has put its body in the place of a service's.
    if head.source == ResponseSource::Upstream {
        return;
    }
    in_words_for(&exchange.request.headers, head, body);
}

/// Puts an answer into the words of a gRPC client, if the fields are those of its request.
pub fn in_words_for(fields: &HeaderMap, head: &mut ResponseHead, body: &mut Bytes) {
    if grpc::is_grpc(fields) {
        grpc::trailers_only(head, body);
        head.headers.remove(CONTENT_LENGTH);
        *body = Bytes::new();
    }
}
