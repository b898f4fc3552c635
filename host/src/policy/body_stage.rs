//! A body on its way through one policy's hook: read by the guest as it comes, passed on as the guest
//! writes it.
//!
//! Nothing runs by itself here. Whoever takes the body drives the hook, which drives what is before it: so
//! who reads slowly makes all others wait, and who lets go of the body ends the hook.

use std::cell::RefCell;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::body_passage::BodyPassage;
use crate::body_copy::BodyCopy;
use crate::error::GatewayError;
use crate::wasm::stream_desk::{Aborted, Read, StreamDesk};

/// The hook on its way; nothing when it ends well.
pub type Hook = Pin<Box<dyn Future<Output = Option<HookFailure>>>>;

/// A hook that did not end well.
pub struct HookFailure {
    /// What the client is told, if it is not too late for that.
    pub error: GatewayError,
    /// The policy fails open.
    pub open: bool,
}

/// A policy's hook did not end well, and what it has not passed on is lost.
#[derive(Debug, thiserror::Error)]
#[error("a policy broke the body off")]
pub struct BrokenOff;

/// A hook that ends where it is dropped, or when its exchange lets go of it.
pub(super) type HookSlot = Rc<RefCell<Option<Hook>>>;

/// What comes out of one hook.
pub struct BodyStage<B: Body> {
    way: Way<B>,
    desk: Arc<StreamDesk>,
    passage: BodyPassage,
    /// Of what passes, if somebody wants it.
    copy: Option<BodyCopy>,
}

enum Way<B: Body> {
    /// Through the guest.
    Guest(Guest<B>),
    /// Around it: it has failed before it had any of the body.
    Around(B),
    /// What is left.
    Trailers(HeaderMap),
    /// Broken off; the receiver is made to wait once before it is told so.
    Broken(B::Error, bool),
    Ended,
}

impl<B: Body> Way<B> {
    /// When all bytes have passed.
    fn last(trailers: Option<HeaderMap>) -> Self {
        match trailers {
            Some(fields) => Self::Trailers(fields),
            None => Self::Ended,
        }
    }
}

struct Guest<B: Body> {
    hook: HookSlot,
    input: Input<B>,
    /// The guest has read or written some of it.
    has_begun: bool,
}

/// The body before the hook.
struct Input<B: Body> {
    body: B,
    /// What has come and was not read yet.
    held: Bytes,
    ended: bool,
    failure: Option<B::Error>,
}

/// What a guest's stretch of work has brought.
enum Brought {
    Chunk(Bytes),
    End(Option<HookFailure>),
    /// Nobody wants the body any more.
    Nothing,
}

impl<B> BodyStage<B>
where
    B: Body<Data = Bytes, Error: From<BrokenOff> + Unpin> + Unpin,
{
    /// The body as the hook at that desk makes it. The hook has not begun.
    pub fn new(body: B, (desk, hook): (Arc<StreamDesk>, Hook), passage: BodyPassage) -> Self {
        let hook = Rc::new(RefCell::new(Some(hook)));
        passage.add(&hook);
        let input = Input {
            body,
            held: Bytes::new(),
            ended: false,
            failure: None,
        };
        Self {
            way: Way::Guest(Guest {
                hook,
                input,
                has_begun: false,
            }),
            desk,
            passage,
            copy: None,
        }
    }

    /// Has a copy kept of what comes out.
    pub fn copy_to(&mut self, copy: BodyCopy) {
        self.copy = Some(copy);
    }

    fn poll_way(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            match &mut self.way {
                Way::Guest(guest) => match ready!(guest.poll(&self.desk, cx)) {
                    Brought::Chunk(chunk) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                    Brought::End(failure) => self.end(failure),
                    Brought::Nothing => self.way = Way::Broken(BrokenOff.into(), true),
                },
                Way::Around(body) => return Pin::new(body).poll_frame(cx),
                Way::Trailers(fields) => {
                    let frame = Frame::trailers(mem::take(fields));
                    self.way = Way::Ended;
                    return Poll::Ready(Some(Ok(frame)));
                }
                // hyper writes out what it has when it must wait, and throws it away at an error.
                Way::Broken(_, has_waited @ false) => {
                    *has_waited = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Way::Broken(..) | Way::Ended => {
                    return Poll::Ready(match mem::replace(&mut self.way, Way::Ended) {
                        Way::Broken(error, _) => Some(Err(error)),
                        _ => None,
                    });
                }
            }
        }
    }

    /// The hook has ended: what it has left unread is dropped with the body before it.
    fn end(&mut self, failure: Option<HookFailure>) {
        let Way::Guest(guest) = mem::replace(&mut self.way, Way::Ended) else {
            return;
        };
        self.way = match (guest.input.failure, failure) {
            // A body that did not come whole does not end as if it had, whatever a guest makes of it.
            (Some(error), _) => Way::Broken(error, false),
            (None, None) => Way::last(self.desk.take_trailers()),
            (None, Some(failure)) if failure.open && !guest.has_begun => match guest.input.ended {
                true => Way::last(self.desk.take_received_trailers()),
                false => Way::Around(guest.input.body),
            },
            (None, Some(failure)) => {
                self.passage.fail(failure.error);
                Way::Broken(BrokenOff.into(), false)
            }
        };
    }
}

impl<B> Guest<B>
where
    B: Body<Data = Bytes, Error: From<BrokenOff> + Unpin> + Unpin,
{
    /// The receiver wants more: lets the guest work, and reads for it, until it has written something.
    fn poll(&mut self, desk: &StreamDesk, cx: &mut Context<'_>) -> Poll<Brought> {
        desk.want();
        loop {
            if let Some(max) = desk.question() {
                let read = ready!(self.input.poll_read(max, desk, cx));
                self.has_begun |= matches!(read, Ok(Some(_)));
                desk.answer(read);
            }
            match self.hook.borrow_mut().as_mut() {
                Some(hook) => {
                    if let Poll::Ready(failure) = hook.as_mut().poll(cx) {
                        return Poll::Ready(Brought::End(failure));
                    }
                }
                None => return Poll::Ready(Brought::Nothing),
            }
            if let Some(chunk) = desk.take_written() {
                self.has_begun = true;
                return Poll::Ready(Brought::Chunk(chunk));
            }
            if desk.question().is_none() {
                return Poll::Pending;
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Input<B> {
    /// Up to `max` bytes of one part, when there are some.
    fn poll_read(&mut self, max: usize, desk: &StreamDesk, cx: &mut Context<'_>) -> Poll<Read> {
        while self.held.is_empty() {
            if self.failure.is_some() {
                return Poll::Ready(Err(Aborted));
            }
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.held = data,
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            desk.receive_trailers(fields);
                        }
                        self.ended = true;
                    }
                },
                Some(Err(error)) => self.failure = Some(error),
                None => self.ended = true,
            }
        }
        let length = self.held.len().min(max);
        Poll::Ready(Ok(Some(self.held.split_to(length))))
    }
}

impl<B> Body for BodyStage<B>
where
    B: Body<Data = Bytes, Error: From<BrokenOff> + Unpin> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let stage = self.get_mut();
        let frame = ready!(stage.poll_way(cx));
        let copy = stage.copy.take();
        let copy = match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(chunk) => copy.and_then(|copy| copy.with(chunk)),
                None => copy,
            },
            Some(Err(_)) => None,
            None => copy,
        };
        match copy {
            // Who takes the body need not ask again.
            Some(copy) if stage.is_end_stream() => copy.finish(),
            copy => stage.copy = copy,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.way {
            Way::Around(body) => body.is_end_stream(),
            Way::Ended => true,
            _ => false,
        }
    }

    /// Nobody knows what a guest will write.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
