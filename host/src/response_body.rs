//! The body of a response on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::held_body::{self, HeldBody, ReadError};
use crate::lazy_timer::LazyTimer;
use crate::policy::body_stage::{BodyStage, BrokenOff};
use crate::record::Record;
use crate::upstream::body::{BodyError, UpstreamBody};

/// The body that goes to the client; ends the record of its request when it is dropped.
pub struct ResponseBody {
    content: Content,
    timer: LazyTimer,
    record: Record,
}

/// The exchange took longer than its route allows.
#[derive(Debug, thiserror::Error)]
#[error("the exchange took longer than limits.duration")]
struct TookTooLong;

impl ResponseBody {
    /// That content, with the record of its request, which says until when it may take.
    pub fn new(content: Content, mut record: Record) -> Self {
        if content.is_end_stream() {
            record.ends();
        }
        Self {
            content,
            timer: LazyTimer::default(),
            record,
        }
    }
}

/// Where the bytes come from.
pub enum Content {
    /// Passed on as it comes.
    Upstream(UpstreamBody),
    /// The same, when a policy has read it, or some of it.
    Held(Box<HeldBody<UpstreamBody>>),
    /// The gateway's or a policy's own.
    Whole(Bytes),
    /// What a policy makes of any of these as it passes.
    Streamed(Box<BodyStage<Content>>),
}

impl Content {
    /// Ready when all of it is here, within `limit` bytes, or known not to be had: then what has come is
    /// held, and goes on all the same.
    pub fn poll_whole(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        // A connection that has switched protocols stays as it is: it has ended as a body.
        if matches!(self, Content::Upstream(body) if !body.is_end_stream())
            && let Content::Upstream(body) = std::mem::replace(self, Content::Whole(Bytes::new()))
        {
            *self = Content::Held(Box::new(HeldBody::new(body)));
        }
        match self {
            Content::Upstream(_) => Poll::Ready(Ok(Vec::new())),
            Content::Held(body) => body.poll_whole(limit, cx),
            Content::Whole(bytes) => Poll::Ready(held_body::whole(bytes, limit)),
            // It is on its way already.
            Content::Streamed(_) => Poll::Ready(Err(ReadError::Aborted)),
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
            Content::Held(body) => Pin::new(&mut **body).poll_frame(cx),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Streamed(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Held(body) => body.is_end_stream(),
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Upstream(body) => body.size_hint(),
            Content::Held(body) => body.size_hint(),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(body) => body.size_hint(),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if let Some(until) = body.record.until
            && body.timer.poll_until(until.into(), cx).is_ready()
        {
            body.record.took_too_long();
            body.record.breaks_off("duration-exceeded");
            return Poll::Ready(Some(Err(TookTooLong.into())));
        }
        let frame = ready!(Pin::new(&mut body.content).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => body.record.sends(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) if error.is::<BrokenOff>() => body.record.breaks_off("policy-failed"),
            Some(Err(_)) => body.record.breaks_off("upstream-body"),
            None => body.record.ends(),
        }
        // Whoever reads it may stop here.
        if body.content.is_end_stream() {
            body.record.ends();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}
