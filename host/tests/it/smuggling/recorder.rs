//! An upstream that records bytes: it understands nothing, and answers when it is told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::strict;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Listens until it is dropped.
pub(crate) struct RecordingUpstream {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Connection>>,
    changed: Notify,
}

struct Connection {
    recorded: Vec<u8>,
    /// Requests at the start of `recorded` that have been answered.
    answered: usize,
    writer: Option<OwnedWriteHalf>,
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordingUpstream {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        tokio::spawn(accept(listener, shared.clone()));
        Self { url, shared }
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Drops what was recorded; connections go on.
    pub(crate) fn forget(&self) {
        for connection in self.shared.connections().iter_mut() {
            connection.recorded.clear();
            connection.answered = 0;
        }
    }

    /// The whole requests of all connections.
    pub(crate) fn requests(&self) -> Vec<strict::Request> {
        let connections = self.shared.connections();
        let requests = connections
            .iter()
            .map(|connection| strict::requests(&connection.recorded));
        requests.flatten().collect()
    }

    /// Returns when something more has been recorded.
    pub(crate) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Answers each request that is whole.
    pub(crate) async fn answer_what_is_whole(&self) {
        let mut due = Vec::new();
        for (index, connection) in self.shared.connections().iter_mut().enumerate() {
            let whole = strict::requests(&connection.recorded).len();
            if whole > connection.answered {
                let count = whole - connection.answered;
                connection.answered = whole;
                due.push((index, count, connection.writer.take()));
            }
        }
        for (index, count, writer) in due {
            let mut writer = writer.expect("nobody else writes");
            // The gateway may have gone.
            let _ = writer.write_all(&ANSWER.repeat(count)).await;
            self.shared.connections()[index].writer = Some(writer);
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (mut reader, writer) = stream.into_split();
        let index = {
            let mut connections = shared.connections();
            connections.push(Connection {
                recorded: Vec::new(),
                answered: 0,
                writer: Some(writer),
            });
            connections.len() - 1
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes).await {
                shared.connections()[index]
                    .recorded
                    .extend_from_slice(&bytes[..length]);
                shared.changed.notify_one();
            }
            // Closing answers the gateway's close.
            shared.connections()[index].writer = None;
        });
    }
}
