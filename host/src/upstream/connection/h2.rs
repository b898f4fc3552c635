//! HTTP/2 connections: each shared by as many exchanges as its peer takes at once.
//!
//! The `h2` crate is used as it is, without hyper's layer above: an attempt must know whether a stream
//! was refused before it was processed, and a reset must not be taken for the end of a body.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::cut::CutWatch;

/// Streams that a connection carries at once, if its peer takes as many: as many as a peer should
/// take at least (RFC 9113 §6.5.2).
const MAX_STREAMS: usize = 100;
/// Bytes that a service may send ahead of a client that reads slowly.
const STREAM_WINDOW: u32 = 256 << 10;
/// So much that slow clients never hold up the others on their connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// Bytes of a response's head, names, values and 32 a field (RFC 9113 §6.5.2).
const MAX_HEAD_BYTES: u32 = 64 << 10;
/// The protocol's default.
const MAX_FRAME_BYTES: u32 = 16 << 10;
/// Bytes of requests' bodies that a connection keeps until they can be written.
const MAX_SEND_BUFFER: usize = 1 << 20;
/// Streams that we have reset and the peer may not know of yet.
const MAX_RESET_STREAMS: usize = 100;
/// Streams that the peer may break before its connection is given up.
const MAX_BROKEN_STREAMS: usize = 1_000;

/// Connections to one endpoint.
#[derive(Default)]
pub(super) struct H2Pool {
    connections: RefCell<Vec<Rc<H2Connection>>>,
    /// Held by who makes a connection.
    pub(super) opening: Mutex<()>,
}

/// One connection; it closes when nothing refers to it any more.
pub struct H2Connection {
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    /// It has brought a response.
    served: Cell<bool>,
    /// It takes no new streams.
    retired: Cell<bool>,
    idle_since: Cell<Instant>,
    /// Set when the connection is no more.
    ended: Rc<Cell<bool>>,
    /// Set when the peer has ended it.
    cut: Rc<Cell<bool>>,
}

/// One of a connection's streams, while its exchange lasts.
pub struct StreamLease(Rc<H2Connection>);

impl H2Pool {
    /// A stream of the first connection that has room.
    pub(super) fn lease(&self) -> Option<StreamLease> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        let roomy = connections
            .iter()
            .find(|connection| connection.has_room())?;
        Some(StreamLease::new(roomy.clone()))
    }

    /// Closes what has been idle too long.
    pub(super) fn close_idle(&self, timeout: Duration) {
        self.connections.borrow_mut().retain(|connection| {
            let is_busy = connection.streams.get() > 0;
            let is_fresh = is_busy || connection.idle_since.get().elapsed() < timeout;
            is_fresh && !connection.is_over()
        });
    }

    /// Speaks HTTP/2 over that stream of bytes.
    pub(super) async fn open<S>(&self, stream: S) -> Result<StreamLease, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let cut = Rc::new(Cell::new(false));
        let stream = CutWatch::new(stream, cut.clone());
        let (sender, mut connection) = settings().handshake(stream).await?;
        settled(&sender, &mut connection).await?;
        let ended = Rc::new(Cell::new(false));
        let ending = ended.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!("upstream connection: {error}");
            }
            ending.set(true);
        });
        let connection = Rc::new(H2Connection {
            sender,
            streams: Cell::new(0),
            served: Cell::new(false),
            retired: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            ended,
            cut,
        });
        self.connections.borrow_mut().push(connection.clone());
        Ok(StreamLease::new(connection))
    }
}

fn settings() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(Some(MAX_BROKEN_STREAMS))
        // None before the peer has said how many it takes: see `settled`.
        .initial_max_send_streams(0);
    builder
}

/// Waits for the peer's settings, which say how many streams it takes. Whoever does not speak HTTP/2
/// is found out here, before a request is sent to it.
async fn settled<S>(
    sender: &SendRequest<Bytes>,
    connection: &mut Connection<S, Bytes>,
) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

impl H2Connection {
    /// Takes no new streams; those under way go on.
    pub fn retire(&self) {
        self.retired.set(true);
    }

    fn is_over(&self) -> bool {
        self.retired.get() || self.ended.get()
    }

    fn has_room(&self) -> bool {
        let room = self.sender.current_max_send_streams().min(MAX_STREAMS);
        self.streams.get() < room
    }
}

impl StreamLease {
    fn new(connection: Rc<H2Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(connection)
    }

    /// The connection, for who may have to retire it.
    pub fn connection(&self) -> &Rc<H2Connection> {
        &self.0
    }

    /// What sends a request on it. An error says that the connection takes no more.
    pub async fn sender(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.0.sender.clone().ready().await
    }

    /// Whether the connection has brought a response before.
    pub fn is_reused(&self) -> bool {
        self.0.served.get()
    }

    /// A response has come.
    pub fn answered(&self) {
        self.0.served.set(true);
    }

    /// Whether the peer has ended the connection.
    pub fn is_cut(&self) -> bool {
        self.0.cut.get()
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}
