//! Notices that a client of HTTP/1 has left while nobody reads its socket.
//!
//! hyper sees the end of a socket that it reads. It does not read while the next request waits in its buffer, or
//! a body whose reader wants no more; a request would then be worked on for nobody.

use std::os::fd::{BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::lazy_timer::LazyTimer;

/// How often the socket is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The watch over one connection.
#[derive(Default)]
pub(super) struct Departure {
    since: Option<Instant>,
    timer: LazyTimer,
}

impl Departure {
    /// Ready when the client has left amid a request. `socket` is the connection's, which must be open.
    pub(super) fn poll(&mut self, pulse: &Pulse, socket: RawFd, cx: &mut Context<'_>) -> Poll<()> {
        if !pulse.is_unwatched() {
            self.since = None;
            return Poll::Pending;
        }
        loop {
            let since = *self.since.get_or_insert_with(Instant::now);
            ready!(self.timer.poll_until(since + LOOK, cx));
            if has_left(socket) {
                return Poll::Ready(());
            }
            self.since = None;
        }
    }
}

/// Whether the peer has closed its side, or the connection is broken: also where bytes are left to read.
fn has_left(socket: RawFd) -> bool {
    #[expect(unsafe_code, reason = "hyper owns the socket and does not lend it")]
    // SAFETY: who polls a departure owns the connection, and with it the socket, which so stays open.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let mut sockets = [PollFd::new(&socket, PollFlags::RDHUP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut sockets, Some(&now)).is_ok() && sockets[0].revents().intersects(ends)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_end_is_seen_behind_bytes_that_nobody_has_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        client.write_all(b"more").unwrap();
        assert!(!has_left(socket.as_raw_fd()));
        client.shutdown(Shutdown::Write).unwrap();
        let start = Instant::now();
        while !has_left(socket.as_raw_fd()) {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
