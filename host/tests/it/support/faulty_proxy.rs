//! A TCP proxy that a test can make slow, silent or rude.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What it does with bytes and connections, old and new ones alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Passes them on.
    None,
    /// Passes on what the server says, but so much later.
    Slow(Duration),
    /// Drops whatever comes, and keeps the connection; one that has lost bytes stays silent to its end.
    Swallow,
    /// Resets connections (RST), new ones as soon as they are made.
    Reset,
}

/// Stands before a server; ends when it is dropped.
pub(crate) struct FaultyProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultyProxy {
    /// On a free port, before the server on `port` of this machine.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, seen) = watch::channel(Fault::None);
        let accepted = Arc::<AtomicUsize>::default();
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, port, seen.clone()));
            }
        });
        Self {
            address,
            fault,
            accepted,
            task,
        }
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, port: u16, mut seen: watch::Receiver<Fault>) {
    // A close with unread or unsent bytes, or without linger, is a reset.
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    client.set_nodelay(true).unwrap();
    if *seen.borrow() == Fault::Reset {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let fault = seen.clone();
    let up = copy(from_client, to_server, || match *fault.borrow() {
        Fault::Slow(_) => Fault::None,
        other => other,
    });
    let fault = seen.clone();
    let down = copy(from_server, to_client, || *fault.borrow());
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = seen.wait_for(|fault| *fault == Fault::Reset) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: impl Fn() -> Fault) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        match fault() {
            Fault::Swallow => {
                while let Ok(1..) = from.read(&mut buffer).await {}
                return;
            }
            Fault::Slow(by) => tokio::time::sleep(by).await,
            Fault::None | Fault::Reset => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
