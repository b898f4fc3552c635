//! The body of a request as it comes from the client, within its bounds: size, pace, and the end of
//! the exchange.
//!
//! The upstream's connection reads it, on its own time; the exchange keeps a [`BodyWatch`] by which it
//! learns what went wrong, and by which the client's connection gets free.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use portcullis_config::ClientTimeouts;
use tokio::time::Instant;

use crate::body_copy::BodyCopy;
use crate::body_fault::{BodyFault, ClientBodyError};
use crate::error::GatewayError;
use crate::held_body::{self, HeldBody, ReadError};
use crate::lazy_timer::LazyTimer;
use crate::listener::pulse::Pulse;
use crate::policy::body_stage::BodyStage;
use crate::trailers;

/// Passed on as it comes.
pub enum ClientBody {
    /// There is none.
    Empty,
    /// It has bytes, or may have.
    Open(OpenBody),
    /// The same, when a policy has read it, or some of it.
    Held(Box<HeldBody<OpenBody>>),
    /// A policy's, in the place of the client's.
    Replaced(Bytes),
    /// What a policy makes of any of these as it passes.
    Streamed(Box<BodyStage<ClientBody>>),
}

/// A body that is not known to be empty.
pub struct OpenBody(Rc<RefCell<Shared>>);

/// What the exchange keeps of a body while the upstream's connection reads it.
#[derive(Default)]
pub struct BodyWatch(Option<Rc<RefCell<Shared>>>);

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyBounds {
    /// In bytes.
    pub size: u64,
    /// From one part to the next.
    pub idle: Duration,
}

struct Shared {
    /// `None` once it has been given up.
    incoming: Option<Incoming>,
    pulse: Rc<Pulse>,
    left: u64,
    received: u64,
    idle: Duration,
    timer: LazyTimer,
    /// Since when the next part has been waited for.
    waits: Option<Instant>,
    /// Who waits.
    reader: Option<Waker>,
    answered: bool,
    ended: bool,
    /// Of what passes, if somebody wants it.
    copy: Option<BodyCopy>,
    fault: Option<BodyFault>,
}

impl ClientBody {
    /// The body that comes over that connection; without bounds so far, and not read.
    pub fn new(incoming: Incoming, pulse: &Rc<Pulse>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        pulse.begin_body();
        Self::Open(OpenBody(Rc::new(RefCell::new(Shared {
            incoming: Some(incoming),
            pulse: pulse.clone(),
            left: u64::MAX,
            received: 0,
            idle: ClientTimeouts::default().body_idle,
            timer: LazyTimer::default(),
            waits: None,
            reader: None,
            answered: false,
            ended: false,
            copy: None,
            fault: None,
        }))))
    }

    /// Sets its bounds. One that says by itself that it is too large breaks them at once, unread.
    pub fn bound(&self, bounds: BodyBounds) -> BodyWatch {
        let Self::Open(OpenBody(shared)) = self else {
            return BodyWatch::default();
        };
        let mut body = shared.borrow_mut();
        (body.left, body.idle) = (bounds.size, bounds.idle);
        if body.size_hint().lower() > bounds.size {
            body.fault = Some(BodyFault::TooLarge);
        }
        BodyWatch(Some(shared.clone()))
    }

    /// Has a copy kept of what goes on from here.
    pub fn copy_to(&mut self, copy: BodyCopy) {
        match self {
            Self::Empty => copy.finish(),
            Self::Open(body) => body.copy_to(copy),
            Self::Held(body) => {
                if let Some(copy) = copy.with(&Bytes::copy_from_slice(body.held())) {
                    body.rest().copy_to(copy);
                }
            }
            Self::Replaced(bytes) => {
                if let Some(copy) = copy.with(bytes) {
                    copy.finish();
                }
            }
            Self::Streamed(body) => body.copy_to(copy),
        }
    }

    /// Ready when the whole body is here, or known not to be had: then what has come is held, and goes
    /// on all the same.
    pub fn poll_whole(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        if let Self::Open(_) = self
            && let Self::Open(body) = std::mem::replace(self, Self::Empty)
        {
            *self = Self::Held(Box::new(HeldBody::new(body)));
        }
        match self {
            Self::Held(body) => body.poll_whole(limit, cx),
            Self::Replaced(bytes) => Poll::Ready(held_body::whole(bytes, limit)),
            Self::Empty | Self::Open(_) => Poll::Ready(Ok(Vec::new())),
            // It is on its way already.
            Self::Streamed(_) => Poll::Ready(Err(ReadError::Aborted)),
        }
    }

    /// Nobody reads it for now: the client's time for the next part begins when somebody does.
    pub fn rest(&mut self) {
        if let Self::Held(body) = self {
            body.give_up_reading();
            body.rest().0.borrow_mut().waits = None;
        }
    }

    /// Why it could not be read to its end, if that was tried.
    pub fn failure(&self) -> Option<GatewayError> {
        let Self::Held(body) = self else { return None };
        body.failure().map(Into::into)
    }
}

impl OpenBody {
    fn copy_to(&self, copy: BodyCopy) {
        let mut body = self.0.borrow_mut();
        if body.ended {
            copy.finish();
        } else {
            body.copy = Some(copy);
        }
    }
}

impl BodyWatch {
    /// The response's head is there: from now on a client that rests may have its reasons.
    pub fn answered(&self) {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().answered = true;
        }
    }

    /// Bytes that have come so far.
    pub fn received(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.borrow().received)
    }

    /// Which bound the body has broken.
    pub fn fault(&self) -> Option<BodyFault> {
        self.0.as_ref()?.borrow().fault
    }
}

impl Drop for BodyWatch {
    /// The response has ended. What the client still sends goes on to the upstream for `body_idle`,
    /// since an upstream may answer first and read then; but it holds both connections no longer.
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        // Its reader has dropped it, or will not need more.
        if Rc::strong_count(&shared) == 1 || shared.borrow().ended {
            return;
        }
        let (rest, idle) = (Rc::downgrade(&shared), shared.borrow().idle);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(idle).await;
            if let Some(shared) = rest.upgrade() {
                shared.borrow_mut().give_up();
            }
        });
    }
}

impl Shared {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Some(Err(fault.into())));
        }
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(Some(Err(ClientBodyError::Unwanted)));
        };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
            if self
                .reader
                .as_ref()
                .is_none_or(|reader| !reader.will_wake(cx.waker()))
            {
                self.reader = Some(cx.waker().clone());
            }
            ready!(self.poll_patience(cx));
            return Poll::Ready(Some(Err(self.fail(BodyFault::Idle))));
        };
        self.waits = None;
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.received += length;
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(self.fail(BodyFault::TooLarge)))),
                }
                if let Some(chunk) = frame.data_ref() {
                    self.copy = self.copy.take().and_then(|copy| copy.with(chunk));
                }
                if self.incoming.as_ref().is_none_or(Incoming::is_end_stream) {
                    self.end();
                }
                Poll::Ready(Some(Ok(trailers::end_to_end(frame))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(ClientBodyError::Broken(error)))),
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// Ready when the next part has been waited for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.answered {
            return Poll::Pending;
        }
        let since = *self.waits.get_or_insert_with(Instant::now);
        self.timer.poll_until(since + self.idle, cx)
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            if let Some(copy) = self.copy.take() {
                copy.finish();
            }
            self.pulse.end_body();
        }
    }

    fn fail(&mut self, fault: BodyFault) -> ClientBodyError {
        self.fault = Some(fault);
        self.give_up();
        fault.into()
    }

    /// Lets go of the client's side; the connection must not wait for what nobody will read.
    fn give_up(&mut self) {
        self.copy = None;
        if self.incoming.take().is_some() && !self.ended {
            self.pulse.leave_body();
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.borrow_mut().give_up();
    }
}

impl Body for OpenBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        self.0.borrow_mut().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().ended
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().size_hint()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        match self.get_mut() {
            ClientBody::Empty => Poll::Ready(None),
            ClientBody::Open(body) => Pin::new(body).poll_frame(cx),
            ClientBody::Held(body) => Pin::new(&mut **body).poll_frame(cx),
            ClientBody::Replaced(bytes) if bytes.is_empty() => Poll::Ready(None),
            ClientBody::Replaced(bytes) => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            ClientBody::Streamed(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ClientBody::Empty => true,
            ClientBody::Open(body) => body.is_end_stream(),
            ClientBody::Held(body) => body.is_end_stream(),
            ClientBody::Replaced(bytes) => bytes.is_empty(),
            ClientBody::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ClientBody::Empty => SizeHint::with_exact(0),
            ClientBody::Open(body) => body.size_hint(),
            ClientBody::Held(body) => body.size_hint(),
            ClientBody::Replaced(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ClientBody::Streamed(body) => body.size_hint(),
        }
    }
}
