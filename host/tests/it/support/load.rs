//! Clients that go on and on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use tokio::task::JoinHandle;

use super::{TestClient, eventually, within};

/// Clients that keep their connections and retry nothing.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many clients ask for `path` until they are stopped.
    pub(crate) fn start(address: SocketAddr, path: &'static str, clients: usize) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..clients).map(|_| {
            let (stop, served) = (stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut client = TestClient::connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.send(Method::GET, path, &[], "").await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    /// Returns once further requests have been served; panics if one has failed.
    pub(crate) async fn goes_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("requests go on", async || {
            assert!(
                !self.clients.iter().any(JoinHandle::is_finished),
                "a client has failed"
            );
            self.served.load(Ordering::Relaxed) > before + 4
        })
        .await;
    }

    /// Requests that were served so far.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Stops; panics if a request has failed.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            within(client).await.unwrap();
        }
    }
}
