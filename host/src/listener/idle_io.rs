//! A client's socket that does not wait for ever: it ends when its client has had its time for a request
//! (`pulse.rs` says when), or takes nothing of what is written.
//!
//! Costs nothing while bytes move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::pulse::SocketPulse;
use crate::lazy_timer::LazyTimer;
use crate::respond;
use crate::telemetry::metrics::Metrics;

/// How long a client that still sends is listened to after its answer: to close at once would reset the
/// connection, and the client might lose the answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// The stream, with the client's timeouts.
pub struct IdleIo<S> {
    stream: S,
    pulse: Arc<SocketPulse>,
    write_idle: Duration,
    metrics: Arc<Metrics>,
    /// The client has closed its side.
    ended: bool,
    /// Since when a write has not gone on.
    blocked: Option<Instant>,
    timer: LazyTimer,
    /// Until when what comes is thrown away; set when our side has been closed.
    lingers: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> IdleIo<S> {
    /// The stream of a connection that has just been made.
    pub fn new(
        stream: S,
        pulse: Arc<SocketPulse>,
        write_idle: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stream,
            pulse,
            write_idle,
            metrics,
            ended: false,
            blocked: None,
            timer: LazyTimer::default(),
            lingers: None,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.ended = true;
            return;
        }
        self.pulse.hear();
    }

    /// Ends a connection whose client has had its time: with an answer if it has begun a request, else
    /// as if the client had closed it.
    fn expire(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.pulse.awaits_head() {
            self.metrics.client.timed_out("keep_alive");
            return Ok(());
        }
        self.metrics.client.timed_out("head");
        // As far as the socket takes it at once; who does not read does not learn why.
        if let Poll::Ready(Ok(_)) = Pin::new(&mut self.stream).poll_write(cx, respond::late_head())
        {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The outcome of a write, or an error when it has not gone on for too long.
    fn bound_write<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.blocked.take().is_some() {
                self.pulse.block_write(false);
            }
            return outcome;
        }
        self.pulse.block_write(true);
        let since = *self.blocked.get_or_insert_with(Instant::now);
        ready!(self.timer.poll_until(since + self.write_idle, cx));
        self.metrics.client.timed_out("write_idle");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Throws away what a client still sends, until it has closed too or has had its time.
    fn poll_linger(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        loop {
            if self.timer.poll_until(until, cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for IdleIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut io.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                io.hear(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            // HTTP/2 says goodbye by itself.
            Poll::Pending if io.pulse.is_expired() && !io.pulse.is_multiplexed() => {
                Poll::Ready(io.expire(cx))
            }
            Poll::Pending => {
                io.pulse.await_bytes(true);
                Poll::Pending
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for IdleIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let outcome = Pin::new(&mut io.stream).poll_write(cx, bytes);
        io.bound_write(outcome, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let outcome = Pin::new(&mut io.stream).poll_flush(cx);
        io.bound_write(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if io.lingers.is_none() {
            let outcome = Pin::new(&mut io.stream).poll_shutdown(cx);
            ready!(io.bound_write(outcome, cx))?;
            if io.ended || !io.pulse.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = *io.lingers.get_or_insert_with(|| Instant::now() + LINGER);
        io.poll_linger(until, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let outcome = Pin::new(&mut io.stream).poll_write_vectored(cx, slices);
        io.bound_write(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
