//! What a client's connection is doing: shared by its socket, its requests and their bodies.
//!
//! The socket sees bytes and knows nothing of requests; hyper knows of both and tells nobody. So each
//! of them notes here what it does, and what nobody is busy with has a time to end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};

use portcullis_config::ClientTimeouts;
use tokio::time::Instant;

use super::departure::Departure;
use crate::lazy_timer::LazyTimer;

/// The state of one connection.
#[derive(Default)]
pub struct Pulse {
    /// What its socket has a part in.
    pub socket: Arc<SocketPulse>,
    exchanges: Cell<u32>,
    bodies: Cell<u32>,
    begun: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

/// The state that a connection shares with its socket. Atomic for hyper alone, which lets a connection
/// switch protocols only if its socket could go to another thread; it never does.
#[derive(Default)]
pub struct SocketPulse {
    heard: AtomicBool,
    awaits_bytes: AtomicBool,
    write_blocked: AtomicBool,
    multiplexed: AtomicBool,
    unread: AtomicBool,
    expired: AtomicBool,
}

impl SocketPulse {
    /// Bytes have come.
    pub fn hear(&self) {
        self.heard.store(true, Relaxed);
    }

    /// Whether a read waits for the client.
    pub fn await_bytes(&self, waits: bool) {
        self.awaits_bytes.store(waits, Relaxed);
    }

    /// Whether a write waits for the client.
    pub fn block_write(&self, blocked: bool) {
        self.write_blocked.store(blocked, Relaxed);
    }

    /// Whether a client may be sending what nobody reads.
    pub fn has_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Whether the client has had its time for a request.
    pub fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// Whether requests share the connection, as in HTTP/2.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Whether some of a head has come since the last request. (Frames of HTTP/2 may be anything.)
    pub fn awaits_head(&self) -> bool {
        self.heard.load(Relaxed) && !self.is_multiplexed()
    }
}

impl Pulse {
    /// A request has arrived.
    pub fn begin(&self) {
        self.begun.set(self.begun.get().wrapping_add(1));
        self.exchanges.set(self.exchanges.get() + 1);
        self.socket.heard.store(false, Relaxed);
    }

    /// Nothing is left to be made of one response.
    pub fn end(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.socket.heard.store(false, Relaxed);
        // Of HTTP/1 it is the connection's own task that says so.
        if self.is_multiplexed() {
            self.wake_idle();
        }
    }

    /// A request has a body that is still to come.
    pub fn begin_body(&self) {
        self.bodies.set(self.bodies.get() + 1);
    }

    /// A body has come to its end.
    pub fn end_body(&self) {
        self.bodies.set(self.bodies.get().saturating_sub(1));
        self.socket.heard.store(false, Relaxed);
        self.wake_idle();
    }

    /// Nobody will read the rest of a body. The connection has to see that it can't go on.
    pub fn leave_body(&self) {
        self.bodies.set(self.bodies.get().saturating_sub(1));
        self.socket.unread.store(true, Relaxed);
        self.wake();
    }

    /// The connection is one of HTTP/2: requests come before the response of the last one has ended.
    pub fn multiplex(&self) {
        self.socket.multiplexed.store(true, Relaxed);
    }

    /// Whether requests share the connection, as in HTTP/2.
    pub fn is_multiplexed(&self) -> bool {
        self.socket.is_multiplexed()
    }

    /// Whether the client has had its time for a request.
    pub fn is_expired(&self) -> bool {
        self.socket.is_expired()
    }

    /// Drives the connection to its end. One that waits for a request too long is told so by
    /// [`SocketPulse::is_expired`], and dropped if it does not end by itself: then there is no output. Where
    /// requests share it, it has the same time once more: to end takes an answer of the client, and a
    /// request may have been on its way. Where the connection has a `socket` of its own, it is dropped as well
    /// when the client leaves amid a request.
    pub async fn drive<F: Future>(
        &self,
        connection: F,
        socket: Option<RawFd>,
        timeouts: &ClientTimeouts,
    ) -> Option<F::Output> {
        let (mut connection, mut silence) = (pin!(connection), Silence::default());
        let mut departure = Departure::default();
        poll_fn(|cx| {
            self.remember(cx.waker());
            // Said anew by each read that has to wait.
            self.socket.await_bytes(false);
            if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let left = socket.map(|socket| departure.poll(self, socket, cx));
            if left.is_some_and(|left| left.is_ready()) {
                return Poll::Ready(None);
            }
            ready!(silence.poll(self, timeouts, cx));
            if self.is_expired() {
                return Poll::Ready(None);
            }
            self.socket.expired.store(true, Relaxed);
            silence = Silence::default();
            match connection.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.is_multiplexed() => {
                    silence.poll(self, timeouts, cx).map(|()| None)
                }
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    /// Whether a request is under way, or something else that has its own bounds.
    fn is_busy(&self) -> bool {
        self.exchanges.get() > 0 || self.bodies.get() > 0 || self.socket.write_blocked.load(Relaxed)
    }

    /// Whether a request is under way while nobody reads the socket, so that nobody would see its end.
    pub(super) fn is_unwatched(&self) -> bool {
        self.exchanges.get() > 0 && !self.socket.awaits_bytes.load(Relaxed)
    }

    fn remember(&self, waker: &Waker) {
        match &mut *self.waker.borrow_mut() {
            Some(remembered) => remembered.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn wake_idle(&self) {
        if !self.is_busy() {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// The time without a request.
#[derive(Default)]
struct Silence {
    since: Option<Instant>,
    /// What was waited for then: after how many requests, and whether a head had begun.
    waits_for: (u32, bool),
    timer: LazyTimer,
}

impl Silence {
    fn poll(&mut self, pulse: &Pulse, timeouts: &ClientTimeouts, cx: &mut Context<'_>) -> Poll<()> {
        if pulse.is_busy() {
            self.since = None;
            return Poll::Pending;
        }
        let (begun, head) = (pulse.begun.get(), pulse.socket.awaits_head());
        let waits_for = (begun, head);
        if self.waits_for != waits_for {
            self.waits_for = waits_for;
            self.since = None;
        }
        let limit = if begun == 0 || head {
            timeouts.head
        } else {
            timeouts.keep_alive
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        self.timer.poll_until(since + limit, cx)
    }
}
