//! The body of a request as it comes from the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The client's body could not be read to its end: not the upstream's fault.
#[derive(Debug, thiserror::Error)]
#[error("the client's body ended early: {0}")]
pub struct ClientBodyError(#[source] pub hyper::Error);

/// Passed on as it comes.
pub struct ClientBody {
    incoming: Incoming,
}

impl ClientBody {
    /// The body that comes over the client's connection.
    pub fn new(incoming: Incoming) -> Self {
        Self { incoming }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let incoming = Pin::new(&mut self.get_mut().incoming);
        incoming
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(ClientBodyError)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
