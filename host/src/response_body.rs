//! The body of a response on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::lazy_timer::LazyTimer;
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
    pub fn new(content: Content, record: Record) -> Self {
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
    /// The gateway's or a policy's own.
    Whole(Bytes),
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
            return Poll::Ready(Some(Err(TookTooLong.into())));
        }
        match &mut body.content {
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Upstream(body) => body.size_hint(),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
