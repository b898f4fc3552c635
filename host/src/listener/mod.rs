//! Listeners: who accepts connections, until when, and by which settings.

mod certificate;
pub mod certificate_watch;
mod connection;
mod departure;
mod drain;
mod first_bytes;
mod frame_meter;
mod http1;
mod http2;
pub mod idle_io;
mod last_connections;
pub mod pulse;
mod reset_budget;
pub mod settings;
mod socket;
mod stream_body;
mod stream_tasks;
pub mod ticket_keys;
mod tls;
mod tls_files;
pub(crate) mod x509;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::drain::{Drain, Draining, Stage};
use self::settings::ListenerSettings;
pub use self::socket::bind;
use crate::worker::Worker;

/// Pause after a failed `accept` (no file descriptor is free), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log says that nothing can be accepted.
const ACCEPT_WARNING: Duration = Duration::from_secs(10);

/// One worker's socket of a listener.
pub struct ListenerSocket {
    /// The listener's name in the config.
    pub name: Arc<str>,
    /// Bound and listening.
    pub socket: std::net::TcpListener,
}

/// Accepts until `stop` says so, then lets the connections finish what they have begun, at most `drain_timeout`.
pub async fn serve(
    worker: Rc<Worker>,
    sockets: Vec<ListenerSocket>,
    mut stop: watch::Receiver<bool>,
    drain_timeout: Duration,
) -> io::Result<()> {
    let (draining, drain) = Draining::new();
    for ListenerSocket { name, socket } in sockets {
        let listener = TcpListener::from_std(socket)?;
        let accept = accept(worker.clone(), name, listener, drain.clone());
        tokio::task::spawn_local(accept);
    }
    drop(drain);
    // An error means that the sender is gone, and with it the process' will to go on.
    let _ = stop.wait_for(|stopped| *stopped).await;
    // After the timeout the runtime is dropped, and the connections with it.
    let _ = tokio::time::timeout(drain_timeout, draining.finish()).await;
    Ok(())
}

/// Takes connections until the drain begins, and then those that the kernel has taken for us.
async fn accept(worker: Rc<Worker>, name: Arc<str>, listener: TcpListener, mut drain: Drain) {
    let mut settings = Arc::new(ListenerSettings::default());
    let connections = drain.clone();
    let mut serve = |stream: TcpStream, peer: SocketAddr| {
        // A config without this listener leaves it as it was: its socket goes with a restart.
        if let Some(latest) = worker.revision().snapshot.listeners.get(&name) {
            settings = latest.clone();
        }
        let drain = connections.clone();
        connection::spawn(worker.clone(), settings.clone(), (stream, peer), drain);
    };
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.reaches(Stage::Closing) => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer),
            // That one has gone; others may wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                worker.metrics().client.refused_connection("files");
                if told.is_none_or(|told| told.elapsed() >= ACCEPT_WARNING) {
                    told = Some(Instant::now());
                    tracing::warn!("no connection can be accepted for now: {error}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    last_connections::take(listener, serve).await;
}
