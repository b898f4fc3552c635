//! A name server whose answers a test chooses.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::eventually;

/// Answers over UDP with a time to live of one second; a name that it has not been told does not exist.
pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    zone: Mutex<HashMap<String, Reply>>,
    asked: AtomicUsize,
}

/// What becomes of a question for IPv4 addresses.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// There is no such name.
    NoSuchName,
    /// Nothing.
    Silence,
}

impl NameServer {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(serve(socket, shared.clone()));
        Self {
            address,
            shared,
            task,
        }
    }

    /// For the config.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn tell(&self, name: &str, reply: Reply) {
        let mut zone = self.shared.zone.lock().unwrap();
        zone.insert(name.to_owned(), reply);
    }

    /// Returns once it has been asked for IPv4 addresses so many times more.
    pub(crate) async fn wait_for_questions(&self, more: usize) {
        let before = self.shared.asked.load(Ordering::Relaxed);
        eventually("the name server is asked", async || {
            self.shared.asked.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(answer) = answer(&buffer[..length], &shared) {
            socket.send_to(&answer, peer).await.unwrap();
        }
    }
}

/// RFC 1035 §4: the question is repeated as it came, the answers point at its name.
fn answer(question: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: u16 = 1;
    let mut labels = Vec::new();
    let mut at = HEADER;
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let reply = shared.zone.lock().unwrap().get(&labels.join(".")).cloned();
    if kind == A {
        shared.asked.fetch_add(1, Ordering::Relaxed);
    }
    let (code, addresses) = match reply.unwrap_or(Reply::NoSuchName) {
        Reply::Addresses(addresses) if kind == A => (0, addresses),
        Reply::Addresses(_) => (0, Vec::new()),
        Reply::NoSuchName => (3, Vec::new()),
        Reply::Silence => return None,
    };
    let mut answer = question[..2].to_vec();
    // An authoritative response, with recursion.
    answer.extend([
        0x85,
        0x80 | code,
        0,
        1,
        0,
        addresses.len() as u8,
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&question[HEADER..end]);
    for address in addresses {
        answer.extend([0xC0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
