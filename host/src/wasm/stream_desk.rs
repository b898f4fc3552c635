//! Where the guest of a body hook and the body that passes through it meet, in turns.
//!
//! A store may go from thread to thread and a body may not, so the body never enters the store: the
//! guest's call leaves here what it wants to read, or what it has written, and is suspended. Whoever the
//! body flows to drives both: its wish for more lets the guest go on. One chunk is on its way at most.

use std::future::poll_fn;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;

use super::step_clock::StepClock;

/// The body's sender has not delivered all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted;

/// What a reading brings; nothing at the end.
pub type Read = Result<Option<Bytes>, Aborted>;

/// One hook's desk.
#[derive(Debug, Default)]
pub struct StreamDesk(Mutex<Desk>);

#[derive(Debug, Default)]
struct Desk {
    turn: Turn,
    clock: StepClock,
    /// Those that came with the body.
    received: Option<HeaderMap>,
    /// Those that the guest has set in their place.
    set: Option<HeaderMap>,
    is_aborted: bool,
}

/// Whose the next step is.
#[derive(Debug, Default)]
enum Turn {
    /// The guest's.
    #[default]
    Guest,
    /// The receiver's: nothing was asked of the guest yet.
    Ready,
    /// The sender's: the guest wants so many bytes at most.
    Reads(usize),
    /// The guest's: it has been answered.
    Answered(Read),
    /// The receiver's: it is given this.
    Writes(Bytes),
    /// The receiver's: it has been given something, and has not asked for more.
    Given,
}

/// For the guest.
impl StreamDesk {
    /// Returns when the receiver wants the first of the body.
    pub(super) async fn begin(&self) {
        self.wait(Turn::Ready, |turn| match turn {
            Turn::Guest => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// At most `max` bytes, when some have come.
    pub(super) async fn read(&self, max: usize) -> Read {
        self.wait(Turn::Reads(max), |turn| match turn {
            Turn::Answered(read) => Ok(read),
            other => Err(other),
        })
        .await
    }

    /// Hands over; returns when the receiver wants more.
    pub(super) async fn write(&self, chunk: Bytes) {
        self.wait(Turn::Writes(chunk), |turn| match turn {
            Turn::Guest => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// The trailers that have come with the body.
    pub(super) fn received_trailers(&self) -> Option<HeaderMap> {
        self.lock().received.clone()
    }

    /// Puts these in their place.
    pub(super) fn set_trailers(&self, fields: HeaderMap) {
        self.lock().set = Some(fields);
    }

    /// Leaves the turn to others until it is `taken`; then the guest goes on. Nobody needs to be woken:
    /// who answers polls the guest next.
    async fn wait<V>(&self, turn: Turn, taken: impl Fn(Turn) -> Result<V, Turn>) -> V {
        {
            let mut desk = self.lock();
            desk.turn = turn;
            desk.clock.rest(Instant::now());
        }
        poll_fn(|_| {
            let mut desk = self.lock();
            match taken(mem::take(&mut desk.turn)) {
                Ok(value) => {
                    desk.clock.run(Instant::now());
                    Poll::Ready(value)
                }
                Err(other) => {
                    desk.turn = other;
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// For who runs the hook.
impl StreamDesk {
    /// The hook begins.
    pub(super) fn start(&self) {
        self.lock().clock.run(Instant::now());
    }

    /// When a step that may take `time` has taken it; `None` while the guest waits.
    pub(super) fn runs_out(&self, time: Duration) -> Option<Instant> {
        self.lock().clock.runs_out(time)
    }

    /// Whether the guest has been told that the body broke off.
    pub fn is_aborted(&self) -> bool {
        self.lock().is_aborted
    }

    /// Whether all is there for the hook to be called.
    pub fn is_ready(&self) -> bool {
        matches!(self.lock().turn, Turn::Ready)
    }

    /// How long the guest, and the host for it, have worked.
    pub fn worked(&self) -> Duration {
        self.lock().clock.total(Instant::now())
    }
}

/// For the body.
impl StreamDesk {
    /// The receiver wants more.
    pub fn want(&self) {
        let mut desk = self.lock();
        if matches!(desk.turn, Turn::Given) {
            desk.clock.step();
        }
        if matches!(desk.turn, Turn::Given | Turn::Ready) {
            desk.turn = Turn::Guest;
        }
    }

    /// How many bytes the guest wants, while it waits for some.
    pub fn question(&self) -> Option<usize> {
        match self.lock().turn {
            Turn::Reads(max) => Some(max),
            _ => None,
        }
    }

    /// Answers it.
    pub fn answer(&self, read: Read) {
        let mut desk = self.lock();
        match &read {
            Ok(Some(_)) => desk.clock.step(),
            Ok(None) => {}
            Err(Aborted) => desk.is_aborted = true,
        }
        desk.turn = Turn::Answered(read);
    }

    /// What the guest has written, for the receiver.
    pub fn take_written(&self) -> Option<Bytes> {
        let mut desk = self.lock();
        match mem::take(&mut desk.turn) {
            Turn::Writes(chunk) => {
                desk.turn = Turn::Given;
                Some(chunk)
            }
            other => {
                desk.turn = other;
                None
            }
        }
    }

    /// These have come with the body.
    pub fn receive_trailers(&self, fields: HeaderMap) {
        self.lock().received = Some(fields);
    }

    /// Those that go on.
    pub fn take_trailers(&self) -> Option<HeaderMap> {
        let mut desk = self.lock();
        let set = desk.set.take();
        set.or_else(|| desk.received.take())
            .filter(|fields| !fields.is_empty())
    }

    /// Those that have come.
    pub fn take_received_trailers(&self) -> Option<HeaderMap> {
        self.lock().received.take()
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
