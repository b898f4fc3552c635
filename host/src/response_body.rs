//! The body of a response on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::record::Record;
use crate::upstream::body::{BodyError, UpstreamBody};

/// The body that goes to the client; ends the record of its request when it is dropped.
pub struct ResponseBody {
    content: Content,
    _record: Record,
}

impl ResponseBody {
    /// That content, with the record of its request.
    pub fn new(content: Content, record: Record) -> Self {
        Self {
            content,
            _record: record,
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
        match &mut self.get_mut().content {
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
