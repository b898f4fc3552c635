//! The body of an answer, as a list of pieces: it can pause, flush and break off.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// One piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes to send.
    Data(Bytes),
    /// Lets hyper write out what it has: it flushes when a body is not ready.
    Flush,
    /// A pause; hyper flushes before it.
    Wait(Duration),
    /// Breaks off: hyper closes the connection.
    BreakOff,
}

/// A body made of pieces, sent in order.
#[derive(Debug, Default)]
pub(crate) struct PiecewiseBody {
    pieces: VecDeque<Piece>,
    pause: Option<Pin<Box<Sleep>>>,
    /// The length is announced only when it is known to be true.
    has_known_length: bool,
}

/// The body ends here on purpose.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl PiecewiseBody {
    /// A body whose length is announced as the sum of these parts.
    pub(crate) fn with_length(parts: impl IntoIterator<Item = Bytes>) -> Self {
        PiecewiseBody {
            pieces: parts.into_iter().map(Piece::Data).collect(),
            pause: None,
            has_known_length: true,
        }
    }

    /// A body whose length is not announced.
    pub(crate) fn without_length(pieces: impl IntoIterator<Item = Piece>) -> Self {
        PiecewiseBody {
            pieces: pieces.into_iter().collect(),
            pause: None,
            has_known_length: false,
        }
    }
}

impl Body for PiecewiseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            if let Some(pause) = self.pause.as_mut() {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.pieces.pop_front() {
                Some(Piece::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Piece::Wait(duration)) => self.pause = Some(Box::pin(sleep(duration))),
                Some(Piece::BreakOff) => return Poll::Ready(Some(Err(BrokenOff))),
                Some(Piece::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.has_known_length {
            return SizeHint::default();
        }
        let lengths = self.pieces.iter().map(|piece| match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            _ => 0,
        });
        SizeHint::with_exact(lengths.sum())
    }
}

impl Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("body broken off on purpose")
    }
}

impl std::error::Error for BrokenOff {}
