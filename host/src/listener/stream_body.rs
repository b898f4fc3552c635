//! The body of a response on an HTTP/2 stream: tells the connection's budget how the request ended.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::reset_budget::ResetBudget;
use super::stream_tasks::StreamPlace;

/// One request of a connection; given up when it is dropped before its end.
pub(super) struct OpenStream {
    budget: Rc<ResetBudget>,
    place: Rc<StreamPlace>,
    started: Instant,
    ended: bool,
}

impl OpenStream {
    /// It has just begun.
    pub(super) fn new(budget: Rc<ResetBudget>, place: Rc<StreamPlace>) -> Self {
        Self {
            budget,
            place,
            started: Instant::now(),
            ended: false,
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.ended {
            self.budget.answered();
        } else {
            self.budget.given_up(self.started.elapsed());
        }
    }
}

/// A body as HTTP/2 wants it.
pub(super) struct StreamBody<B> {
    body: B,
    stream: OpenStream,
    /// hyper knows for HTTP/1 alone that an answer to HEAD has no content (RFC 9110 §9.3.2).
    is_head: bool,
}

impl<B: Body<Data = Bytes> + Unpin> StreamBody<B> {
    /// The response's body to a request, which is a HEAD or not.
    pub(super) fn new(body: B, stream: OpenStream, is_head: bool) -> Self {
        let mut body = Self {
            body,
            stream,
            is_head,
        };
        body.stream.ended = body.is_end_stream();
        body.stream.place.give();
        body
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for StreamBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.is_head {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            this.stream.place.await_upstream();
            return Poll::Pending;
        };
        this.stream.place.give();
        // An error is the upstream's.
        this.stream.ended = !matches!(frame, Some(Ok(_))) || this.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_head || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
