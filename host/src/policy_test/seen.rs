//! What is seen of an exchange: at the client, at the upstream, and of the policy.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body;

use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::policy::lent_body::has_no_body;
use crate::policy::verdict::RetryPlan;
use crate::response_body::Content;

/// What was seen of an exchange.
pub(super) struct Seen {
    /// With what policies have shared.
    pub(super) exchange: Box<Exchange>,
    /// What the client got.
    pub(super) response: SeenResponse,
    /// What the upstream got last, if it was asked.
    pub(super) upstream: Option<SeenRequest>,
    /// Attempts that were made.
    pub(super) attempts: u32,
    /// What the policy has asked for after failed ones.
    pub(super) retries: Vec<RetryPlan>,
    /// Hooks that did not end well.
    pub(super) faults: Vec<String>,
}

/// A response.
pub(super) struct SeenResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A request at an upstream.
pub(super) struct SeenRequest {
    pub(super) upstream: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A request as it goes to the upstream.
pub(super) fn seen_request(exchange: &Exchange, body: &[u8]) -> SeenRequest {
    SeenRequest {
        upstream: exchange.upstream_name().unwrap_or_default().to_owned(),
        method: exchange.request.method.to_string(),
        path: exchange.request.target.to_string(),
        headers: exchange.request.headers.clone(),
        body: body.to_vec(),
    }
}

/// A response as it goes to the client.
pub(super) async fn seen_response(exchange: &Exchange, content: Content) -> SeenResponse {
    let body = match has_no_body(exchange) {
        Some(_) => Vec::new(),
        None => whole(content).await,
    };
    let head = exchange.response.clone().unwrap_or(ResponseHead {
        source: ResponseSource::Gateway("policy-failed"),
        status: StatusCode::SERVICE_UNAVAILABLE,
        headers: HeaderMap::new(),
    });
    SeenResponse {
        status: head.status,
        headers: head.headers,
        body,
    }
}

/// What comes of a body until it ends or breaks off; who breaks it off has said so.
pub(super) async fn whole<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    bytes
}
