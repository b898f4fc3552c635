//! The bodies that pass: a request's on its way to the upstream, a response's on its way back.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::{EndpointPool, Sender};
use super::permit::Permit;
use super::replay_body::ReplayBody;
use crate::client_body::ClientBody;

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
    incoming: Incoming,
    lease: Option<(Sender, Rc<EndpointPool>)>,
    permit: Option<Permit>,
}

impl UpstreamBody {
    /// A body that came over that connection.
    pub(super) fn new(incoming: Incoming, sender: Sender, pool: Rc<EndpointPool>) -> Self {
        let mut body = Self {
            incoming,
            lease: Some((sender, pool)),
            permit: None,
        };
        body.give_back_at_end();
        body
    }

    /// Holds the request's permit until the body is dropped.
    pub(super) fn with(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Reads in the background what is left of an answer that nobody wants, if it is little, so that
    /// its connection can be used again.
    pub(super) fn discard(self) {
        if self.lease.is_some() {
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
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        match ready!(Pin::new(&mut body.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                body.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // Whatever is left of the response must not be taken for the next one's.
                body.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                body.give_back();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
