//! One try: a connection, the request, the response's head, and what it means if that fails.

use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use http::Request;
use http::header::{HOST, HeaderValue};
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::{RequestBody, UpstreamBody};
use super::connection::EndpointPool;
use crate::client_body::ClientBodyError;
use crate::head;
use crate::policy::verdict::Failure;

/// Why a try brought no response.
#[derive(Debug)]
pub struct AttemptError {
    /// How the field calls it.
    pub failure: Failure,
    /// Some of the request may have reached the endpoint.
    pub sent: bool,
    /// The connection had served before: the endpoint may have closed it while the request was on
    /// its way (RFC 9112 §9.3.1), which says nothing of the endpoint's health.
    pub reused: bool,
    /// For the log.
    pub detail: String,
}

impl AttemptError {
    /// It did not come to an attempt.
    pub(super) fn unsent(failure: Failure, detail: impl ToString) -> Self {
        Self {
            failure,
            sent: false,
            reused: false,
            detail: detail.to_string(),
        }
    }
}

/// Sends the request and waits for the response's head until `deadline`.
pub async fn send(
    pool: &Rc<EndpointPool>,
    mut request: Request<RequestBody>,
    connect_timeout: Duration,
    deadline: Instant,
) -> Result<Response<UpstreamBody>, AttemptError> {
    name_host(pool, &mut request);
    let mut sent = false;
    match tokio::time::timeout_at(
        deadline,
        exchange(pool, request, connect_timeout, &mut sent),
    )
    .await
    {
        Ok(ended) => ended,
        Err(_) => Err(AttemptError {
            failure: if sent {
                Failure::ResponseTimeout
            } else {
                Failure::ConnectTimeout
            },
            sent,
            reused: false,
            detail: format!("{}: no response in time", pool.authority),
        }),
    }
}

/// RFC 9112 §3.2: HTTP/1.1 has a Host, which an HTTP/1.0 client need not have sent.
fn name_host(pool: &EndpointPool, request: &mut Request<RequestBody>) {
    if !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(&pool.authority)
    {
        request.headers_mut().insert(HOST, host);
    }
}

async fn exchange(
    pool: &Rc<EndpointPool>,
    mut request: Request<RequestBody>,
    connect_timeout: Duration,
    sent: &mut bool,
) -> Result<Response<UpstreamBody>, AttemptError> {
    loop {
        let (mut sender, reused) = match pool.take() {
            Some(sender) => (sender, true),
            None => (connect(pool, connect_timeout).await?, false),
        };
        *sent = true;
        match sender.try_send_request(request).await {
            Ok(response) if !is_final(response.status()) => {
                return Err(not_final(pool, response.status()));
            }
            Ok(response) => {
                if let Some(reason) = head::ambiguity(response.headers()) {
                    return Err(ambiguous(pool, reason));
                }
                return Ok(
                    response.map(|body: Incoming| UpstreamBody::new(body, sender, pool.clone()))
                );
            }
            // The connection was closed before it took the request: nothing was sent, the next one may do.
            Err(mut error) => match error.take_message() {
                Some(untouched) if reused => {
                    *sent = false;
                    request = untouched;
                }
                untouched => {
                    return Err(failed(
                        pool,
                        &error.into_error(),
                        untouched.is_none(),
                        reused,
                    ));
                }
            },
        }
    }
}

/// 1xx other than those that hyper has dealt with, and numbers that mean nothing (RFC 9110 §15):
/// an unasked 101 would hand the connection over.
fn is_final(status: http::StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

fn not_final(pool: &EndpointPool, status: http::StatusCode) -> AttemptError {
    AttemptError {
        failure: Failure::Protocol,
        sent: true,
        reused: false,
        detail: format!("{}: status {status} is no answer", pool.authority),
    }
}

fn ambiguous(pool: &EndpointPool, reason: &str) -> AttemptError {
    AttemptError {
        failure: Failure::Protocol,
        sent: true,
        reused: false,
        detail: format!("{}: the answer has {reason}", pool.authority),
    }
}

async fn connect(
    pool: &EndpointPool,
    timeout: Duration,
) -> Result<super::connection::Sender, AttemptError> {
    pool.connect(timeout).await.map_err(|error| AttemptError {
        failure: error.failure,
        sent: false,
        reused: false,
        detail: error.to_string(),
    })
}

fn failed(pool: &EndpointPool, error: &hyper::Error, sent: bool, reused: bool) -> AttemptError {
    let failure = if is_client_body(error) {
        Failure::RequestBody
    } else if error.is_parse() {
        Failure::Protocol
    } else if error.is_incomplete_message() || error.is_closed() || is_connection_reset(error) {
        Failure::Reset
    } else if error.is_user() || error.is_canceled() {
        Failure::Send
    } else {
        Failure::Other
    };
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    AttemptError {
        failure,
        sent,
        reused,
        detail: format!("{}: {error}{cause}", pool.authority),
    }
}

fn is_client_body(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<ClientBodyError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_connection_reset(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| {
            matches!(
                cause.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            )
        })
}
