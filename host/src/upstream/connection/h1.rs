//! HTTP/1.1 connections: one exchange at a time, kept while idle.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::body::RequestBody;

/// Sends requests over one connection, one after another.
pub type Sender = http1::SendRequest<RequestBody>;

/// Bytes of a response's head, and of one read: hyper's own minimum is 8 KiB, its default 400 KiB.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Idle connections to one endpoint.
pub(super) struct H1Pool {
    idle: RefCell<Vec<Idle>>,
    max_idle: usize,
    idle_timeout: Duration,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

impl H1Pool {
    pub(super) fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: RefCell::default(),
            max_idle,
            idle_timeout,
        }
    }

    /// The connection that was used last and is ready for a request.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let mut index = idle.len();
        while index > 0 {
            index -= 1;
            let entry = &idle[index];
            if entry.sender.is_closed() || entry.since.elapsed() >= self.idle_timeout {
                idle.remove(index);
            } else if entry.sender.is_ready() {
                return Some(idle.remove(index).sender);
            }
        }
        None
    }

    /// Takes back a connection whose exchange has ended.
    pub(super) fn give_back(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max_idle {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes what has been idle too long. The oldest stand first.
    pub(super) fn close_idle(&self) {
        self.idle
            .borrow_mut()
            .retain(|entry| !entry.sender.is_closed() && entry.since.elapsed() < self.idle_timeout);
    }
}

/// Speaks HTTP/1.1 over that stream. A head may have 100 fields, for which hyper needs no memory. A connection that switches to another protocol is handed over
/// to who asked for it.
pub(super) async fn open<S>(stream: S) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = connection.with_upgrades();
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!("upstream connection: {error}");
        }
    });
    Ok(sender)
}
