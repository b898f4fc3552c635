//! One exchange over a stream of an HTTP/2 connection: the head, both bodies, and how they end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version, request};
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;

use super::attempt::{AttemptError, Progress, is_client_body};
use super::body::{BodyError, RequestBody, UpstreamBody};
use super::connection::EndpointPool;
use super::connection::h2::StreamLease;
use crate::policy::verdict::Failure;
use crate::trailers;

/// Sends the request over a stream and waits for the response's head.
pub(super) async fn exchange(
    pool: &Rc<EndpointPool>,
    request: Request<RequestBody>,
    connect_timeout: Duration,
    progress: &mut Progress,
) -> Result<Response<UpstreamBody>, AttemptError> {
    let (parts, body) = request.into_parts();
    let head = head(pool, parts, &body)?;
    let (lease, mut sender) = open(pool, connect_timeout).await?;
    progress.sent = true;
    progress.connection = Some(lease.connection().clone());
    let (response, stream) = sender
        .send_request(head, body.is_end_stream())
        .map_err(|error| failed(pool, &lease, &error, false))?;
    let sending = match body.is_end_stream() {
        true => None,
        false => Sending::start(body, stream).await,
    };
    match response.await {
        Ok(response) => {
            lease.answered();
            Ok(response.map(|received| {
                UpstreamBody::streamed(StreamBody {
                    received,
                    underway: Some((lease, sending)),
                })
            }))
        }
        Err(error) => Err(match sending.and_then(|sending| sending.failure.take()) {
            Some(broken) => body_failed(pool, broken.as_ref()),
            None => failed(pool, &lease, &error, is_processed(&error, &lease)),
        }),
    }
}

/// A stream on a connection that takes it. A connection may have said good-bye since it was used last.
async fn open(
    pool: &EndpointPool,
    connect_timeout: Duration,
) -> Result<(StreamLease, h2::client::SendRequest<Bytes>), AttemptError> {
    loop {
        let lease = pool
            .stream(connect_timeout)
            .await
            .map_err(AttemptError::unconnected)?;
        match lease.sender().await {
            Ok(sender) => return Ok((lease, sender)),
            Err(_) if lease.is_reused() => lease.connection().retire(),
            Err(error) => {
                lease.connection().retire();
                return Err(failed(pool, &lease, &error, false));
            }
        }
    }
}

/// The head in the form of RFC 9113 §8.3.1: what HTTP/1.1 says in a Host field is the authority.
fn head(
    pool: &EndpointPool,
    mut parts: request::Parts,
    body: &RequestBody,
) -> Result<Request<()>, AttemptError> {
    let unsendable = || AttemptError {
        failure: Failure::Send,
        sent: false,
        reused: false,
        detail: format!("{}: the head can't be sent over HTTP/2", pool.authority),
    };
    let host = parts.headers.remove(HOST).ok_or_else(unsendable)?;
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    if let (Some(length @ 1..), false) = (
        body.size_hint().exact(),
        parts.headers.contains_key(CONTENT_LENGTH),
    ) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(match pool.scheme() {
        "https" => Scheme::HTTPS,
        _ => Scheme::HTTP,
    });
    uri.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| unsendable())?);
    uri.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(uri).map_err(|_| unsendable())?;
    parts.version = Version::HTTP_2;
    Ok(Request::from_parts(parts, ()))
}

/// False for streams that the peer says it has not looked at: refused ones, and those above the last
/// one that its GOAWAY names (RFC 9113 §6.8, §8.7). Once the peer has also ended the
/// connection, nobody can tell.
fn is_processed(error: &h2::Error, lease: &StreamLease) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let left_out = error.is_go_away() && !lease.is_cut();
    !(error.is_remote() && (refused || left_out))
}

fn failed(pool: &EndpointPool, lease: &StreamLease, error: &h2::Error, sent: bool) -> AttemptError {
    let failure = if error.get_io().is_some_and(super::attempt::is_tls) {
        Failure::Tls
    } else if error.is_io() || (error.is_remote() && (error.is_reset() || error.is_go_away())) {
        Failure::Reset
    } else {
        Failure::Protocol
    };
    AttemptError {
        failure,
        sent,
        reused: lease.is_reused(),
        detail: format!("{}: {error}", pool.authority),
    }
}

fn body_failed(pool: &EndpointPool, error: &(dyn std::error::Error + 'static)) -> AttemptError {
    let failure = match is_client_body(Some(error)) {
        true => Failure::RequestBody,
        false => Failure::Send,
    };
    AttemptError {
        failure,
        sent: true,
        reused: false,
        detail: format!("{}: {error}", pool.authority),
    }
}

/// A request's body on its way. Ends, and its stream with it, when it is dropped.
struct Sending {
    task: AbortHandle,
    failure: Rc<RefCell<Option<BodyError>>>,
}

impl Sending {
    /// Sends what is there at once; nothing is left to do if that was all.
    async fn start(body: RequestBody, stream: SendStream<Bytes>) -> Option<Self> {
        let failure = Rc::new(RefCell::default());
        let mut sending = Box::pin(send_body(body, stream, failure.clone()));
        let first = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
        if first.is_ready() && failure.borrow().is_none() {
            return None;
        }
        let rest = async move {
            if first.is_pending() {
                sending.await;
            }
        };
        let task = tokio::task::spawn_local(rest).abort_handle();
        Some(Self { task, failure })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes the body on as the peer takes it: of what the client sends, one chunk waits here at most.
async fn send_body(
    mut body: RequestBody,
    mut stream: SendStream<Bytes>,
    failure: Rc<RefCell<Option<BodyError>>>,
) {
    loop {
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(cx).map(Some)
        });
        // Errors of the stream are those of its response as well, and told there.
        let sent = match frame.await {
            None => return,
            Some(None) => return drop(stream.send_data(Bytes::new(), true)),
            Some(Some(Err(error))) => {
                *failure.borrow_mut() = Some(error);
                return stream.send_reset(Reason::CANCEL);
            }
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => send_chunk(&mut stream, data, body.is_end_stream()).await,
                Err(frame) => return drop(frame.into_trailers().map(|t| stream.send_trailers(t))),
            },
        };
        if sent.is_none() || body.is_end_stream() {
            return;
        }
    }
}

async fn send_chunk(stream: &mut SendStream<Bytes>, data: Bytes, last: bool) -> Option<()> {
    if !data.is_empty() {
        stream.reserve_capacity(1);
        while stream.capacity() == 0 {
            poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        }
    }
    stream.send_data(data, last).ok()
}

/// A response's body that comes over a stream.
pub(super) struct StreamBody {
    received: RecvStream,
    /// Until the response has ended; then nobody waits for the rest of the request either.
    underway: Option<(StreamLease, Option<Sending>)>,
}

impl StreamBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_received(cx));
        if self.received.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.underway = None;
        }
        Poll::Ready(frame)
    }

    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.underway.is_none() {
            return Poll::Ready(None);
        }
        match ready!(self.received.poll_data(cx)) {
            Some(Ok(data)) => {
                // It fails for a stream that has ended: then there is nothing to release.
                let _ = self.received.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(broken(error)),
            None => match ready!(self.received.poll_trailers(cx)) {
                Ok(Some(fields)) => Poll::Ready(Some(Ok(kept(fields)))),
                Ok(None) => Poll::Ready(None),
                Err(error) => Poll::Ready(broken(error)),
            },
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.underway.is_none() || self.received.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.is_end_stream() {
            true => SizeHint::with_exact(0),
            false => SizeHint::default(),
        }
    }
}

fn kept(fields: HeaderMap) -> Frame<Bytes> {
    trailers::end_to_end(Frame::trailers(fields))
}

/// RFC 9113 §8.1: after a whole response NO_ERROR asks to stop the request. Any other reset means that
/// something is missing.
fn broken(error: h2::Error) -> Option<Result<Frame<Bytes>, BodyError>> {
    let complete = error.is_reset() && error.reason() == Some(Reason::NO_ERROR);
    (!complete).then(|| Err(error.into()))
}
