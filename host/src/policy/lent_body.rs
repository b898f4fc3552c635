//! The body that goes with an exchange while a hook runs: what the hook may read of it, and put in its place.
//!
//! The exchange itself is lent to a sandbox; a body belongs to the worker's thread, and stays here.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRAILER};
use http::{Method, StatusCode};

use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::Exchange;
use crate::held_body::ReadError;
use crate::response_body::Content;

/// The one body that a hook may work on.
pub enum LentBody<'a> {
    /// The hook gets none.
    None,
    /// The request's, in `on-request`.
    Request(&'a mut ClientBody),
    /// The response's, in `on-response`.
    Response(&'a mut Content),
}

impl LentBody<'_> {
    /// Ready when all of it is here, within `limit` bytes, or not to be had. What was read goes on all the same.
    pub fn poll_whole(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        match self {
            LentBody::None => Poll::Ready(Ok(Vec::new())),
            LentBody::Request(body) => body.poll_whole(limit, cx),
            LentBody::Response(content) => content.poll_whole(limit, cx),
        }
    }

    /// Whether its sender has kept a reader waiting until now, or has broken off.
    pub fn is_awaited(&self) -> bool {
        match self {
            LentBody::Request(ClientBody::Held(body)) => body.is_awaited(),
            LentBody::Response(Content::Held(body)) => body.is_awaited(),
            _ => false,
        }
    }

    /// The hook has ended.
    pub fn rest(&mut self) {
        match self {
            LentBody::Request(body) => body.rest(),
            LentBody::Response(Content::Held(body)) => body.give_up_reading(),
            LentBody::None | LentBody::Response(_) => {}
        }
    }

    /// Why the client's body could not be read to its end, if a hook has tried: then nothing else is to blame.
    pub fn failure(&self) -> Option<GatewayError> {
        match self {
            LentBody::Request(body) => body.failure(),
            LentBody::None | LentBody::Response(_) => None,
        }
    }

    /// Puts `bytes` in its place, and has the head tell their length. Trailers go with the old body.
    pub fn replace(&mut self, bytes: Bytes, exchange: &mut Exchange) {
        match self {
            LentBody::None => {}
            LentBody::Request(body) => {
                tell_length(&mut exchange.request.headers, bytes.len());
                **body = ClientBody::Replaced(bytes);
            }
            LentBody::Response(content) => {
                let bodiless = has_no_body(exchange);
                let Some(response) = &mut exchange.response else {
                    return;
                };
                if bodiless.is_some() {
                    // The hook has taken its place away afterwards, by another status.
                    response.headers.remove(CONTENT_LENGTH);
                    **content = Content::Whole(Bytes::new());
                } else {
                    tell_length(&mut response.headers, bytes.len());
                    **content = Content::Whole(bytes);
                }
            }
        }
    }
}

/// Why no body goes with the response as the hook in progress has it, if none does (RFC 9110 §6.4.1).
pub fn has_no_body(exchange: &Exchange) -> Option<String> {
    if exchange.request.method == Method::HEAD {
        return Some("a response to HEAD has no body".to_owned());
    }
    let status = exchange
        .edits
        .staged_status()
        .or_else(|| Some(exchange.response.as_ref()?.status))?;
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    bodiless.then(|| format!("a response of status {} has no body", status.as_u16()))
}

fn tell_length(headers: &mut HeaderMap, bytes: usize) {
    // A map that is full takes no field, and hyper tells the length of what is all here by itself.
    let _ = headers.try_insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.remove(TRAILER);
}
