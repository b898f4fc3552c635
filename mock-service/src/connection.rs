//! Connections: accepts them, counts them and serves HTTP/1.1 on them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::exchange;
use crate::flaky::FlakyKeys;
use crate::record::Recorder;
use crate::script::Scripts;

/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections of one mock service share.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What the service calls itself in its answers.
    pub(crate) name: String,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) scripts: Scripts,
    pub(crate) flaky_keys: FlakyKeys,
    pub(crate) connections: Connections,
}

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
}

/// Counts one connection as open until it is dropped.
struct OpenConnection(Arc<Upstream>);

impl Upstream {
    /// Forgets the recorded requests and the attempts on flaky paths.
    pub(crate) fn reset(&self) {
        self.recorder.clear();
        self.flaky_keys.clear();
    }
}

impl Connections {
    /// How many were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// How many are open now.
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Returns once exactly this many are open.
    pub(crate) async fn wait_for_open(&self, count: usize) {
        let mut counts = self.open.subscribe();
        // Cannot fail: we own the sender.
        let _ = counts.wait_for(|open| *open == count).await;
    }
}

impl OpenConnection {
    fn count(upstream: &Arc<Upstream>) -> Self {
        let connections = &upstream.connections;
        connections.accepted.fetch_add(1, Ordering::AcqRel);
        connections.open.send_modify(|open| *open += 1);
        OpenConnection(Arc::clone(upstream))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.open.send_modify(|open| *open -= 1);
    }
}

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listener: &TcpListener, upstream: Arc<Upstream>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let open = OpenConnection::count(&upstream);
                tokio::spawn(serve(stream, open));
            }
            Err(error) => {
                eprintln!("mock-service: cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, open: OpenConnection) {
    // Fails only when the client has left, which the first read tells as well.
    let _ = stream.set_nodelay(true);
    let upstream = &open.0;
    let service = service_fn(|request| exchange::answer(Arc::clone(upstream), request));
    // Errors are clients who left and connections that we close on purpose: nothing to report.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
