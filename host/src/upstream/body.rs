//! The bodies that pass: a request's on its way to the upstream, a response's on its way back.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::EndpointPool;
use super::connection::h1::Sender;
use super::permit::Permit;
use super::replay_body::ReplayBody;
use super::stream::StreamBody;
use crate::client_body::ClientBody;
use crate::trailers;
use crate::tunnel::Switched;

/// A longer answer costs more to read than a new connection.
const MAX_DISCARDED_BYTES: usize = 64 << 10;
const MAX_DISCARD_TIME: Duration = Duration::from_secs(1);

/// Anything that ends a body early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent to the upstream.
pub enum RequestBody {
    /// There is none.
    Empty,
    /// All of it is here.
    Whole(Bytes),
    /// Passed on as it comes; can be sent once.
    Stream(ClientBody),
    /// Passed on as it comes and kept, so that it can be sent again.
    Replay(ReplayBody),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            RequestBody::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            RequestBody::Stream(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            RequestBody::Replay(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Whole(bytes) => bytes.is_empty(),
            RequestBody::Stream(body) => body.is_end_stream(),
            RequestBody::Replay(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Stream(body) => body.size_hint(),
            RequestBody::Replay(body) => body.size_hint(),
        }
    }
}

/// A response's body; gives its connection back when it has been read to the end.
pub struct UpstreamBody {
    source: Source,
    permit: Option<Permit>,
}

enum Source {
    Connection(ConnectionBody),
    Stream(StreamBody),
    /// The connection speaks another protocol now; of this one nothing follows.
    Switched(Option<Switched>),
}

/// A body that comes over an HTTP/1.1 connection.
struct ConnectionBody {
    incoming: Incoming,
    lease: Option<(Sender, Rc<EndpointPool>)>,
}

impl UpstreamBody {
    /// A body that came over that connection.
    pub(super) fn new(incoming: Incoming, sender: Sender, pool: Rc<EndpointPool>) -> Self {
        let mut body = ConnectionBody {
            incoming,
            lease: Some((sender, pool)),
        };
        body.give_back_at_end();
        Self::of(Source::Connection(body))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            permit: None,
        }
    }

    /// Holds the request's permit until the body, or the tunnel in its place, is dropped.
    pub(super) fn with(mut self, permit: Permit, tunnel_idle: Duration) -> Self {
        self.permit = Some(permit);
        if let Source::Switched(Some(connection)) = &mut self.source {
            connection.idle_timeout = tunnel_idle;
        }
        self
    }

    /// A body that comes over a stream of an HTTP/2 connection.
    pub(super) fn streamed(body: StreamBody) -> Self {
        Self::of(Source::Stream(body))
    }

    /// What is left of an exchange whose connection has switched protocols.
    pub(super) fn switched(connection: Switched) -> Self {
        Self::of(Source::Switched(Some(connection)))
    }

    /// The connection that has switched protocols, if it has.
    pub fn take_switched(&mut self) -> Option<(Switched, Option<Permit>)> {
        match &mut self.source {
            Source::Switched(connection) => Some((connection.take()?, self.permit.take())),
            _ => None,
        }
    }

    /// Reads in the background what is left of an answer that nobody wants, if it is little, so that
    /// its connection can be used again.
    pub(super) fn discard(self) {
        // A stream is reset when it is dropped, and its connection goes on.
        if matches!(&self.source, Source::Connection(body) if body.lease.is_some()) {
            tokio::task::spawn_local(self.read_away());
        }
    }

    /// Reads what is left of an answer that nobody wants, if it is little.
    pub(super) async fn read_away(mut self) {
        let read = async move {
            let mut left = MAX_DISCARDED_BYTES;
            while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(length) else {
                    return;
                };
                left = rest;
            }
        };
        let _ = tokio::time::timeout(MAX_DISCARD_TIME, read).await;
    }
}

impl ConnectionBody {
    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((sender, pool)) = self.lease.take() {
            pool.give_back(sender);
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.give_back_at_end();
                Poll::Ready(Some(Ok(trailers::end_to_end(frame))))
            }
            Some(Err(error)) => {
                // Whatever is left of the response must not be taken for the next one's.
                self.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().source {
            Source::Connection(body) => body.poll_frame(cx),
            Source::Stream(body) => body.poll_frame(cx),
            Source::Switched(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Connection(body) => body.incoming.is_end_stream(),
            Source::Stream(body) => body.is_end_stream(),
            Source::Switched(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Connection(body) => body.incoming.size_hint(),
            Source::Stream(body) => body.size_hint(),
            Source::Switched(_) => SizeHint::with_exact(0),
        }
    }
}
