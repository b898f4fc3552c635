//! A request's body that can be sent again, as long as it fits a bounded buffer.
//!
//! Nothing waits for the buffer: each chunk is passed on as it comes and kept beside. When an
//! attempt ends before the client has sent everything, the next one replays what came and goes on
//! from there.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::body::BodyError;
use crate::client_body::ClientBody;

/// The body of one request, from which each attempt takes its own reading.
pub struct ReplaySource {
    shared: Rc<RefCell<Shared>>,
}

/// One attempt's reading of the body.
pub struct ReplayBody {
    shared: Rc<RefCell<Shared>>,
    /// Which attempt this is; an older one must not take chunks from a newer.
    attempt: u32,
    next_chunk: usize,
    /// Whether the trailers were taken.
    has_trailers: bool,
}

struct Shared {
    incoming: ClientBody,
    chunks: Vec<Bytes>,
    bytes: usize,
    /// Larger bodies are sent once.
    max_bytes: usize,
    overflowed: bool,
    trailers: Option<HeaderMap>,
    ended: bool,
    attempt: u32,
    /// Who waits for the next chunk.
    reader: Option<Waker>,
}

/// A body that an older attempt still wants to read.
#[derive(Debug, thiserror::Error)]
#[error("the attempt that this body belonged to has ended")]
struct Superseded;

impl ReplaySource {
    /// Nothing has been read yet; a body of more than `max_bytes` will not be kept.
    pub fn new(incoming: ClientBody, max_bytes: usize) -> Self {
        let shared = Shared {
            incoming,
            chunks: Vec::new(),
            bytes: 0,
            max_bytes,
            overflowed: false,
            trailers: None,
            ended: false,
            attempt: 0,
            reader: None,
        };
        Self {
            shared: Rc::new(RefCell::new(shared)),
        }
    }

    /// Whether the whole body so far is still there to be sent again.
    pub fn is_replayable(&self) -> bool {
        !self.shared.borrow().overflowed
    }

    /// The body from its start, for the next attempt.
    pub fn next_attempt(&self) -> ReplayBody {
        let attempt = {
            let mut shared = self.shared.borrow_mut();
            shared.attempt += 1;
            // The last attempt's connection learns that it has lost the body, and closes.
            if let Some(reader) = shared.reader.take() {
                reader.wake();
            }
            shared.attempt
        };
        ReplayBody {
            shared: self.shared.clone(),
            attempt,
            next_chunk: 0,
            has_trailers: false,
        }
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let shared = &mut *body.shared.borrow_mut();
        if shared.attempt != body.attempt {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        if let Some(chunk) = shared.chunks.get(body.next_chunk) {
            body.next_chunk += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if shared.ended {
            let trailers = shared.trailers.clone().filter(|_| !body.has_trailers);
            body.has_trailers = true;
            return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))));
        }
        let Poll::Ready(frame) = Pin::new(&mut shared.incoming).poll_frame(cx) else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    shared.keep(data);
                    body.next_chunk = shared.chunks.len();
                } else if let Some(fields) = frame.trailers_ref() {
                    shared.trailers = Some(fields.clone());
                    shared.ended = true;
                    body.has_trailers = true;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                shared.overflowed = true;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                shared.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.borrow();
        let has_all = shared.trailers.is_none() || self.has_trailers;
        let is_at_end = shared.ended || shared.incoming.is_end_stream();
        self.next_chunk >= shared.chunks.len() && has_all && is_at_end
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.shared.borrow();
        let unread: usize = shared
            .chunks
            .iter()
            .skip(self.next_chunk)
            .map(Bytes::len)
            .sum();
        match shared.incoming.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(unread as u64 + rest),
            None => SizeHint::default(),
        }
    }
}

impl Shared {
    fn keep(&mut self, data: &Bytes) {
        self.bytes += data.len();
        if self.bytes > self.max_bytes {
            self.overflowed = true;
            self.chunks.clear();
        } else if !self.overflowed {
            self.chunks.push(data.clone());
        }
    }
}
