//! Many slow clients at once, and too few file descriptors, against the real binary.

use std::fs;
use std::time::{Duration, Instant};

use http::Method;
use mock_service::MockService;
use tokio::net::TcpStream;

use crate::support::process::Portcullis;
use crate::support::raw::RawConnection;
use crate::support::{TestClient, eventually, metric, within};

fn config(url: &str) -> String {
    format!("upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n")
}

/// Time on a processor so far.
fn processor_time(gateway: &Portcullis) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", gateway.id())).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn metrics(gateway: &Portcullis) -> String {
    let mut client = TestClient::connect(gateway.metrics_address).await;
    client.send(Method::GET, "/metrics", &[], "").await.text()
}

async fn connections(gateway: &Portcullis) -> f64 {
    metric(
        &metrics(gateway).await,
        "portcullis_connections_active",
        &[],
    )
}

async fn wait_for_connections(gateway: &Portcullis, count: usize) {
    eventually(&format!("{count} connections are open"), async || {
        connections(gateway).await == count as f64
    })
    .await;
}

#[tokio::test]
async fn two_thousand_slow_heads_do_not_slow_a_request() {
    const SLOW: usize = 2_000;
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&config(&upstream.url())).await;
    let mut client = gateway.client().await;
    client.send(Method::GET, "/x", &[], "").await;
    let before = gateway.open_files();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut connection = RawConnection::connect(gateway.address).await;
        connection.send("GET /slow HTTP/1.1\r\nx-mo").await;
        slow.push(connection);
    }
    wait_for_connections(&gateway, SLOW + 1).await;
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        for connection in slow.iter_mut().skip(round).step_by(20) {
            connection.send("r").await;
        }
        let start = Instant::now();
        assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
        slowest = slowest.max(start.elapsed());
    }
    eprintln!("the slowest of 20 requests beside {SLOW} slow ones: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    drop(slow);
    wait_for_connections(&gateway, 1).await;
    eventually("the file descriptors are free again", async || {
        gateway.open_files() <= before
    })
    .await;
}

#[tokio::test]
async fn idle_connections_after_large_heads_cost_little_memory() {
    const IDLE: usize = 1_000;
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&config(&upstream.url())).await;
    let fill = "f".repeat(10 << 10);
    let request = format!("GET /status/204 HTTP/1.1\r\nhost: a\r\nx-fill: {fill}\r\n\r\n");
    let mut idle = Vec::new();
    let mut before = 0;
    for number in 0..IDLE + 50 {
        // The first ones make the gateway's own caches.
        if number == 50 {
            before = 1024 * gateway.figure("VmRSS");
        }
        let mut connection = RawConnection::connect(gateway.address).await;
        connection.send(&request).await;
        let head = connection.head().await;
        assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
        idle.push(connection);
    }
    wait_for_connections(&gateway, IDLE + 50).await;
    let grown = (1024 * gateway.figure("VmRSS")).saturating_sub(before);
    eprintln!("{IDLE} idle connections: {} KiB each", grown / IDLE / 1024);
    assert!(grown < IDLE * 48 * 1024, "{grown} bytes");
}

#[tokio::test]
async fn without_free_file_descriptors_accepting_pauses_and_serving_goes_on() {
    const FILES: usize = 128;
    let upstream = MockService::start().await;
    let gateway = Portcullis::start_with_files(&config(&upstream.url()), &FILES.to_string()).await;
    let mut client = gateway.client().await;
    client.send(Method::GET, "/x", &[], "").await;
    let mut crowd = Vec::new();
    for _ in 0..2 * FILES {
        crowd.push(within(TcpStream::connect(gateway.address)).await.unwrap());
    }
    gateway.wait_for_log("no connection can be accepted").await;
    let (start, used) = (Instant::now(), processor_time(&gateway));
    let mut served = 0;
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
        served += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let busy = (processor_time(&gateway) - used).as_secs_f64() / start.elapsed().as_secs_f64();
    eprintln!(
        "{served} requests meanwhile, {:.0} % of a processor",
        busy * 100.0
    );
    assert!(busy < 0.5, "{busy}");
    drop(crowd);
    // Also what waited in the kernel's queue is served now.
    let page = metrics(&gateway).await;
    let labels = [("portcullis_reason", "files")];
    assert!(metric(&page, "portcullis_connections_refused_total", &labels) > 0.0);
    let mut late = gateway.client().await;
    assert_eq!(late.send(Method::GET, "/x", &[], "").await.status, 200);
    wait_for_connections(&gateway, 2).await;
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let gateway = Portcullis::start_with_files("routes: []\n", "100:2000").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3));
    assert_eq!(soft, Some("2000"), "{limits}");
    gateway.wait_for_log("limits.connections is 20000").await;
}
