//! One try: a connection, the request, the response's head, and what it means if that fails.

use std::error::Error as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use http::Request;
use http::header::{HOST, HeaderValue};
use hyper::Response;
use hyper::body::Incoming;
use portcullis_config::Protocol;
use tokio::time::Instant;

use super::body::{RequestBody, UpstreamBody};
use super::connection::h2::H2Connection;
use super::connection::{ConnectError, EndpointPool};
use super::stream;
use crate::body_fault::ClientBodyError;
use crate::head;
use crate::policy::verdict::Failure;
use crate::tunnel::Switched;

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

    /// There was no connection to send it over.
    pub(super) fn unconnected(error: ConnectError) -> Self {
        Self {
            failure: error.failure,
            sent: false,
            reused: false,
            detail: error.to_string(),
        }
    }
}

/// How far a try has come, for who gives it up.
#[derive(Default)]
pub(super) struct Progress {
    /// Some of the request may have reached the endpoint.
    pub(super) sent: bool,
    /// The HTTP/2 connection that carries it.
    pub(super) connection: Option<Rc<H2Connection>>,
}

/// Sends the request and waits for the response's head until `deadline`. `offer` names the protocols
/// that the connection may switch to.
pub async fn send(
    pool: &Rc<EndpointPool>,
    mut request: Request<RequestBody>,
    offer: Option<&HeaderValue>,
    connect_timeout: Duration,
    deadline: Instant,
) -> Result<Response<UpstreamBody>, AttemptError> {
    name_host(pool, &mut request);
    let mut progress = Progress::default();
    let exchange = async {
        match pool.protocol() {
            Protocol::Http1 => exchange(pool, request, offer, connect_timeout, &mut progress).await,
            // In a box, so that exchanges over HTTP/1.1, which are many, stay small.
            Protocol::Http2 => {
                Box::pin(stream::exchange(
                    pool,
                    request,
                    connect_timeout,
                    &mut progress,
                ))
                .await
            }
        }
    };
    match tokio::time::timeout_at(deadline, exchange).await {
        Ok(ended) => ended,
        Err(_) => Err(too_late(pool, &progress)),
    }
}

fn too_late(pool: &EndpointPool, progress: &Progress) -> AttemptError {
    // An endpoint that has vanished says nothing: the next attempt tries a new connection.
    if let Some(connection) = &progress.connection {
        connection.retire();
    }
    AttemptError {
        failure: match progress.sent {
            true => Failure::ResponseTimeout,
            false => Failure::ConnectTimeout,
        },
        sent: progress.sent,
        reused: false,
        detail: format!("{}: no response in time", pool.authority),
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
    offer: Option<&HeaderValue>,
    connect_timeout: Duration,
    progress: &mut Progress,
) -> Result<Response<UpstreamBody>, AttemptError> {
    loop {
        let (mut sender, reused) = match pool.take() {
            Some(sender) => (sender, true),
            None => {
                let connected = Box::pin(pool.connect(connect_timeout)).await;
                (connected.map_err(AttemptError::unconnected)?, false)
            }
        };
        progress.sent = true;
        match sender.try_send_request(request).await {
            Ok(response) if !is_final(response.status()) => {
                return switched(pool, response, offer);
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
                    progress.sent = false;
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

/// A 101 that was asked for hands the connection over; anything else is no answer.
fn switched(
    pool: &EndpointPool,
    response: Response<Incoming>,
    offer: Option<&HeaderValue>,
) -> Result<Response<UpstreamBody>, AttemptError> {
    let status = response.status();
    match Switched::accept(response, offer) {
        Some((head, connection)) => Ok(head.map(|()| UpstreamBody::switched(connection))),
        None => Err(AttemptError {
            failure: Failure::Protocol,
            sent: true,
            reused: false,
            detail: format!("{}: status {status} is no answer", pool.authority),
        }),
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

fn failed(pool: &EndpointPool, error: &hyper::Error, sent: bool, reused: bool) -> AttemptError {
    let failure = if is_client_body(error.source()) {
        Failure::RequestBody
    } else if cause_of(error).is_some_and(is_tls) {
        Failure::Tls
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

/// Whether the client's body is what `cause`, or a cause of it, tells of.
pub(super) fn is_client_body(mut cause: Option<&(dyn std::error::Error + 'static)>) -> bool {
    while let Some(error) = cause {
        if error.is::<ClientBodyError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn cause_of(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref::<io::Error>()
}

/// The endpoint has broken off TLS, perhaps since it wants another certificate of us.
pub(super) fn is_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|cause| cause.is::<rustls::Error>())
}

fn is_connection_reset(error: &hyper::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    cause_of(error).is_some_and(|cause| {
        matches!(
            cause.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    })
}
