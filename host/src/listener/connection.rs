//! One client's connection: from its first byte to its end.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use portcullis_config::{ClientLimits, ClientTimeouts};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::drain::{Drain, Stage};
use super::first_bytes::FirstBytes;
use super::http2::Http2Error;
use super::settings::ListenerSettings;
use super::tls::HandshakeError;
use super::{http1, http2};
use crate::client::Client;
use crate::telemetry::metrics::Metrics;
use crate::worker::Worker;

/// What serves a connection, and within which bounds: those of the config at its start.
pub(super) struct Served {
    pub(super) worker: Rc<Worker>,
    pub(super) client: Rc<Client>,
    pub(super) limits: ClientLimits,
    pub(super) timeouts: ClientTimeouts,
    pub(super) drain: Drain,
    /// What it goes over, below TLS.
    pub(super) socket: RawFd,
}

/// Serves a connection in a task of its own: nothing of it holds up the next one.
pub(super) fn spawn(
    worker: Rc<Worker>,
    settings: Arc<ListenerSettings>,
    (stream, peer): (TcpStream, SocketAddr),
    drain: Drain,
) {
    let metrics = worker.metrics();
    // Beyond a limit the connection is closed at once, as nginx and Envoy do: left unaccepted it would
    // look to its client like a gateway that is merely slow, and block the others behind it.
    let permit = worker
        .permits()
        .connect(peer.ip(), &worker.revision().snapshot.limits);
    let permit = match permit {
        Ok(permit) => permit,
        Err(full) => return metrics.client.refused_connection(full.name()),
    };
    let open = OpenConnection::new(metrics);
    tokio::task::spawn_local(async move {
        if let Err(error) = serve(worker, &settings, stream, peer, drain).await {
            error.count(&open.0);
            tracing::debug!(%peer, "client connection: {error}");
        }
        drop(permit);
    });
}

/// Why a connection did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("TLS handshake: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("HTTP/1: {0}")]
    Http1(#[from] hyper::Error),
    #[error("HTTP/2: {0}")]
    Http2(#[from] Http2Error),
}

impl ConnectionError {
    fn count(&self, metrics: &Metrics) {
        match self {
            Self::Handshake(error) => metrics.downstream.handshake_failed(error.kind()),
            Self::Http2(Http2Error::Resets) => metrics.downstream.connection_closed("resets"),
            Self::Http2(Http2Error::Frames) => metrics.downstream.connection_closed("frames"),
            _ => {}
        }
    }
}

async fn serve(
    worker: Rc<Worker>,
    settings: &ListenerSettings,
    stream: TcpStream,
    peer: SocketAddr,
    mut drain: Drain,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let (limits, timeouts) = {
        let snapshot = &worker.revision().snapshot;
        (snapshot.limits, snapshot.timeouts)
    };
    let socket = stream.as_raw_fd();
    let served = |client, drain| Served {
        worker: worker.clone(),
        client: Rc::new(client),
        limits,
        timeouts,
        drain,
        socket,
    };
    // Boxed, so that a connection takes the memory of its own protocol, and not of the largest.
    // Who has asked for nothing yet has nothing to finish: the drain ends the wait.
    if let Some(tls) = &settings.tls {
        let (stream, session) = tokio::select! {
            accepted = tls.accept(stream, timeouts.handshake) => accepted?,
            () = drain.reaches(Stage::Ending) => return Ok(()),
        };
        let client = Client::new(peer, "https").with_tls(session.client);
        if session.is_http2 {
            Box::pin(http2::serve(served(client, drain), stream)).await?;
        } else {
            Box::pin(http1::serve(served(client, drain), stream)).await?;
        }
        return Ok(());
    }
    let client = Client::new(peer, "http");
    if !settings.h2c {
        return Box::pin(http1::serve(
            served(client, drain),
            FirstBytes::none(stream),
        ))
        .await;
    }
    let first = tokio::select! {
        first = timeout(timeouts.head, FirstBytes::read(stream)) => first,
        () = drain.reaches(Stage::Ending) => return Ok(()),
    };
    let Ok(first) = first else {
        worker.metrics().client.timed_out("keep_alive");
        return Ok(());
    };
    match first? {
        (true, stream) => Box::pin(http2::serve(served(client, drain), stream)).await?,
        (false, stream) => Box::pin(http1::serve(served(client, drain), stream)).await?,
    }
    Ok(())
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
