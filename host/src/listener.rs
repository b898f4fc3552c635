//! Sockets and the connections that come through them.

pub mod idle_io;
pub mod pulse;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use portcullis_config::ClientLimits;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::idle_io::IdleIo;
use crate::client::Client;
use crate::gateway;
use crate::telemetry::metrics::Metrics;
use crate::worker::Worker;

/// Connections that wait for `accept`: as many as nginx asks for.
const BACKLOG: i32 = 511;
/// Bytes of one read, where a head may not be larger.
const BUFFER_BYTES: usize = 64 << 10;
/// Fields for which hyper has room without an allocation: it is told of no fewer, and we count again.
const FREE_FIELDS: usize = 100;
/// Pause after a failed `accept` (no file descriptor is free), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One socket for each worker, all on the same address: the kernel spreads connections over them.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if address.port() != 0 {
        // With SO_REUSEPORT a second gateway would silently take half of the connections. A socket
        // without it finds out whether the port is taken.
        open(address, false)?;
    }
    let first = open(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(address, true)?);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until `stop` says so, then lets the connections finish what they have begun, at most `drain_timeout`.
pub async fn serve(
    worker: Rc<Worker>,
    sockets: Vec<std::net::TcpListener>,
    mut stop: watch::Receiver<bool>,
    drain_timeout: Duration,
) -> io::Result<()> {
    let graceful = Rc::new(GracefulShutdown::new());
    let mut accepting = Vec::new();
    for socket in sockets {
        let listener = TcpListener::from_std(socket)?;
        accepting.push(tokio::task::spawn_local(accept(
            worker.clone(),
            listener,
            graceful.clone(),
        )));
    }
    // An error means that the sender is gone, and with it the process' will to go on.
    let _ = stop.wait_for(|stopped| *stopped).await;
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    if let Ok(graceful) = Rc::try_unwrap(graceful) {
        // After the timeout the runtime is dropped, and the connections with it.
        let _ = tokio::time::timeout(drain_timeout, graceful.shutdown()).await;
    }
    Ok(())
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, graceful: Rc<GracefulShutdown>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => connection(worker.clone(), stream, peer, &graceful),
            // That one has gone; others may wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                worker.metrics().client.refused_connection("files");
                tracing::warn!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    graceful: &GracefulShutdown,
) {
    let (metrics, snapshot) = (worker.metrics(), worker.revision().snapshot.clone());
    let (limits, timeouts) = (&snapshot.limits, snapshot.timeouts);
    // Beyond a limit the connection is closed at once, as nginx and Envoy do: left unaccepted it would
    // look to its client like a gateway that is merely slow, and block the others behind it.
    let permit = match worker.permits().connect(peer.ip(), limits) {
        Ok(permit) => permit,
        Err(full) => return metrics.client.refused_connection(full.name()),
    };
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%peer, "client connection: {error}");
    }
    let client = Rc::new(Client::new(peer, "http"));
    let pulse = client.pulse.clone();
    let io = IdleIo::new(stream, pulse.clone(), timeouts.write_idle, metrics.clone());
    let service = service_fn(move |request| {
        let (worker, client) = (worker.clone(), client.clone());
        async move { Ok::<_, Infallible>(gateway::handle(&worker, &client, request).await) }
    });
    let connection = http1(limits).serve_connection(TokioIo::new(io), service);
    let connection = graceful.watch(connection);
    let open = OpenConnection::new(metrics.clone());
    tokio::task::spawn_local(async move {
        let _held = (open, permit);
        if let Some(Err(error)) = pulse.drive(connection, &timeouts).await {
            if error.is_parse_too_large() {
                metrics.client.refused_request("head");
            }
            tracing::debug!(%peer, "client connection: {error}");
        }
    });
}

/// HTTP/1 within the limits. Its timeouts are the socket's, see [`IdleIo`].
fn http1(limits: &ClientLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes.max(BUFFER_BYTES))
        .max_header_size(limits.head_bytes);
    if limits.headers > FREE_FIELDS {
        builder.max_headers(limits.headers);
    }
    builder
}

/// Counts a client's connection while it lives.
struct OpenConnection(Arc<Metrics>);

impl OpenConnection {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connection(1);
        Self(metrics)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connection(-1);
    }
}
