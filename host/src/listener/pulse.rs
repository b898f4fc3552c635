//! What a client's connection is doing: shared by its socket, its requests and their bodies.
//!
//! The socket sees bytes and knows nothing of requests; hyper knows of both and tells nobody. So each
//! of them notes here what it does, and what nobody is busy with has a time to end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use portcullis_config::ClientTimeouts;
use tokio::time::Instant;

use crate::lazy_timer::LazyTimer;

/// The state of one connection.
#[derive(Default)]
pub struct Pulse {
    exchanges: Cell<u32>,
    bodies: Cell<u32>,
    begun: Cell<u32>,
    head: Cell<bool>,
    write_blocked: Cell<bool>,
    multiplexed: Cell<bool>,
    tunnel: Cell<bool>,
    unread: Cell<bool>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Pulse {
    /// A request has arrived; `multiplexed` when others may come before its response has ended.
    pub fn begin(&self, multiplexed: bool) {
        self.multiplexed.set(multiplexed);
        self.begun.set(self.begun.get().wrapping_add(1));
        self.exchanges.set(self.exchanges.get() + 1);
        self.head.set(false);
    }

    /// Nothing is left to be made of one response.
    pub fn end(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        // Of HTTP/1 it is the connection's own task that says so.
        if self.multiplexed.get() {
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
        self.wake_idle();
    }

    /// Nobody will read the rest of a body. The connection has to see that it can't go on.
    pub fn leave_body(&self) {
        self.bodies.set(self.bodies.get().saturating_sub(1));
        self.unread.set(true);
        self.wake();
    }

    /// Bytes have come; between requests they begin a head.
    pub fn hear(&self) {
        if !self.is_busy() {
            self.head.set(true);
        }
    }

    /// Whether a write waits for the client.
    pub fn block_write(&self, blocked: bool) {
        self.write_blocked.set(blocked);
    }

    /// The connection turns out to be one of HTTP/2, before its first request.
    pub fn multiplex(&self) {
        self.multiplexed.set(true);
    }

    /// The connection is no longer one of requests: whoever has it now bounds it.
    pub fn become_tunnel(&self) {
        self.tunnel.set(true);
    }

    /// Whether requests share the connection, as in HTTP/2.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.get()
    }

    /// Whether there has been no request so far.
    pub fn is_new(&self) -> bool {
        self.begun.get() == 0
    }

    /// Whether a client may be sending what nobody reads.
    pub fn has_unread(&self) -> bool {
        self.unread.get()
    }

    /// Whether the client has had its time for a request.
    pub fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// Whether some of a head has come. (Frames of HTTP/2 may be anything.)
    pub fn awaits_head(&self) -> bool {
        self.head.get() && !self.multiplexed.get()
    }

    /// Drives the connection to its end. One that waits for a request too long is told so by
    /// [`Pulse::is_expired`], and dropped if it does not end by itself: then there is no output.
    pub async fn drive<F: Future>(
        &self,
        connection: F,
        timeouts: &ClientTimeouts,
    ) -> Option<F::Output> {
        let (mut connection, mut silence) = (pin!(connection), Silence::default());
        poll_fn(|cx| {
            self.remember(cx.waker());
            if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            ready!(silence.poll(self, timeouts, cx));
            self.expired.set(true);
            match connection.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    /// Whether a request is under way, or something else that has its own bounds.
    fn is_busy(&self) -> bool {
        self.exchanges.get() > 0
            || self.bodies.get() > 0
            || self.write_blocked.get()
            || self.tunnel.get()
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
        let waits_for = (pulse.begun.get(), pulse.awaits_head());
        if self.waits_for != waits_for {
            self.waits_for = waits_for;
            self.since = None;
        }
        let limit = if pulse.is_new() || pulse.awaits_head() {
            timeouts.head
        } else {
            timeouts.keep_alive
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        self.timer.poll_until(since + limit, cx)
    }
}
