//! Bodies of any size pass in little memory, and who reads slowly makes the other side wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::policy_config::{closed, policy_on};
use crate::support::process::Portcullis;
use crate::support::{eventually, within};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// An upstream that sends or takes a body of any length and counts its bytes.
struct BulkUpstream {
    address: SocketAddr,
    /// Bytes of bodies that the system has taken from it or given to it.
    moved: Arc<AtomicU64>,
}

impl BulkUpstream {
    /// Answers `GET` with `length` bytes and any other method after it has read the whole body.
    async fn start(length: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let moved = Arc::<AtomicU64>::default();
        let counted = moved.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, length, counted.clone()));
            }
        });
        Self { address, moved }
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// One route to it, without limits on bodies and with time enough for a loaded machine.
    fn config(&self) -> String {
        self.config_with("")
    }

    /// The same, where bodies pass through two policies that copy them.
    fn copying(&self) -> String {
        let copy = policy_on("copy", "fixtures/stream-probe", "limits: { time: 30s }");
        let used = closed("copy", "{}");
        let route = format!(", policies: [{used}, {used}]");
        format!("{}\npolicies:\n  {copy}", self.config_with(&route))
    }

    fn config_with(&self, route: &str) -> String {
        format!(
            "limits: {{ body: 2GiB }}\n\
             upstreams: {{ u: {{ endpoints: [\"http://{}\"], timeouts: {{ attempt: 10m }} }} }}\n\
             routes: [{{ name: r, upstream: u, deadline: 10m{route} }}]",
            self.address
        )
    }
}

async fn serve(mut stream: TcpStream, length: u64, moved: Arc<AtomicU64>) {
    let (head, rest) = read_head(&mut stream).await;
    if head.starts_with("GET") {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        if stream.write_all(head.as_bytes()).await.is_ok() {
            send(&mut stream, length, &moved).await;
        }
        return;
    }
    moved.fetch_add(rest, Ordering::Relaxed);
    let is_chunked = head.contains("chunked");
    let mut left = length.saturating_sub(rest);
    let (mut buffer, mut last) = (vec![0; 256 << 10], Vec::new());
    while left > 0 || is_chunked && !last.ends_with(b"\r\n0\r\n\r\n") {
        let Ok(count @ 1..) = stream.read(&mut buffer).await else {
            return;
        };
        left = left.saturating_sub(count as u64);
        moved.fetch_add(count as u64, Ordering::Relaxed);
        last.extend_from_slice(&buffer[count.saturating_sub(7)..count]);
        last.drain(..last.len().saturating_sub(7));
    }
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await;
}

/// The head, and how many bytes of the body came with it.
async fn read_head(stream: &mut TcpStream) -> (String, u64) {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.len() - end - 4;
            return (String::from_utf8_lossy(&bytes[..end]).into(), rest as u64);
        }
    }
}

async fn send(stream: &mut TcpStream, length: u64, moved: &AtomicU64) {
    let chunk = vec![b'x'; 256 << 10];
    let mut left = length;
    while left > 0 {
        let size = left.min(chunk.len() as u64) as usize;
        let Ok(count) = stream.write(&chunk[..size]).await else {
            return;
        };
        left -= count as u64;
        moved.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Resident memory of a process in bytes, at its highest so far.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() << 10
}

/// Sends a request whose body has `length` bytes, as its head says; the connection.
async fn request(gateway: &Portcullis, method: &str, length: u64) -> TcpStream {
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn read_body(client: &mut TcpStream) -> u64 {
    read_up_to(client, GIB).await
}

async fn read_up_to(client: &mut TcpStream, length: u64) -> u64 {
    let (_, mut read) = read_head(client).await;
    let mut buffer = vec![0; 256 << 10];
    while read < length {
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            count => read += count as u64,
        }
    }
    read
}

#[tokio::test]
async fn a_gibibyte_down_and_up_takes_less_than_32_mib() {
    let upstream = BulkUpstream::start(GIB).await;
    let gateway = Portcullis::start(&upstream.config()).await;
    let before = peak_memory(gateway.id());

    let mut client = request(&gateway, "GET", 0).await;
    assert_eq!(read_body(&mut client).await, GIB);
    let down = peak_memory(gateway.id()) - before;

    let mut client = request(&gateway, "POST", GIB).await;
    send(&mut client, GIB, &AtomicU64::new(0)).await;
    let (head, _) = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let up = peak_memory(gateway.id()) - before;

    println!(
        "RSS grew by {} KiB down, {} KiB in all",
        down >> 10,
        up >> 10
    );
    assert_eq!(upstream.moved(), 2 * GIB);
    assert!(
        up < 32 * MIB,
        "{} MiB down, {} MiB in all",
        down >> 20,
        up >> 20
    );
}

#[tokio::test]
async fn a_hundred_mebibytes_through_two_policies_take_little_memory_either_way() {
    const LENGTH: u64 = 100 * MIB;
    let upstream = BulkUpstream::start(LENGTH).await;
    let gateway = Portcullis::start(&upstream.copying()).await;
    let before = peak_memory(gateway.id());

    let mut client = request(&gateway, "GET", 0).await;
    // Framed in chunks, whose sizes are counted, too.
    assert!(read_up_to(&mut client, LENGTH).await >= LENGTH);
    let down = peak_memory(gateway.id()) - before;

    let (mut client, sent) = (request(&gateway, "POST", LENGTH).await, AtomicU64::new(0));
    send(&mut client, LENGTH, &sent).await;
    assert_eq!(sent.into_inner(), LENGTH);
    let (head, _) = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let up = peak_memory(gateway.id()) - before;
    assert!(
        up < 32 * MIB,
        "{} MiB down, {} MiB in all",
        down >> 20,
        up >> 20
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_the_upstream_wait() {
    for config in [BulkUpstream::config, BulkUpstream::copying] {
        let upstream = BulkUpstream::start(128 * MIB).await;
        let gateway = Portcullis::start(&config(&upstream)).await;
        let mut client = request(&gateway, "GET", 0).await;
        let held = rests(&upstream).await;
        assert!(held < 64 * MIB, "{held} bytes are under way");
        // Framed in chunks, whose sizes are counted, too.
        assert!(read_up_to(&mut client, 128 * MIB).await >= 128 * MIB);
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_makes_the_client_wait() {
    for config in [BulkUpstream::config, BulkUpstream::copying] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = BulkUpstream {
            address: listener.local_addr().unwrap(),
            moved: Arc::default(),
        };
        let gateway = Portcullis::start(&config(&upstream)).await;
        let mut client = request(&gateway, "POST", GIB).await;
        let moved = upstream.moved.clone();
        let sending = tokio::spawn(async move { send(&mut client, GIB, &moved).await });
        let (_unread, _) = within(listener.accept()).await.unwrap();
        let held = rests(&upstream).await;
        assert!(held < 64 * MIB, "{held} bytes are under way");
        sending.abort();
    }
}

/// The number of bytes moved, once it has stopped growing.
async fn rests(upstream: &BulkUpstream) -> u64 {
    let mut last = 0;
    let mut same = 0;
    eventually("no more bytes move", async || {
        let now = upstream.moved();
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same > 100
    })
    .await;
    last
}
