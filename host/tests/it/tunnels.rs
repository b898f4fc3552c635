//! What ends a connection that has switched protocols, and what does not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{TestGateway, eventually};

const ASK: &str =
    "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const AGREE: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// `keys` stand at the config's top, `timeouts` are the upstream's.
fn config(upstream: &RawUpstream, keys: &str, timeouts: &str) -> String {
    format!(
        "{keys}\nupstreams: {{ s: {{ endpoints: [\"{}\"], timeouts: {{ {timeouts} }} }} }}\n\
         routes: [{{ name: all, upstream: s }}]\n",
        upstream.url()
    )
}

/// A tunnel's two ends: the client's and the service's.
async fn tunnel(gateway: SocketAddr, upstream: &RawUpstream) -> (RawConnection, RawConnection) {
    let mut client = RawConnection::connect(gateway).await;
    client.send(ASK).await;
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(AGREE).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, service)
}

async fn passes_both_ways(client: &mut RawConnection, service: &mut RawConnection) {
    client.send("ping").await;
    assert_eq!(service.exactly(4).await, "ping");
    service.send("pong").await;
    assert_eq!(client.exactly(4).await, "pong");
}

async fn all_connections_have_ended(gateway: &TestGateway) {
    eventually("the upstream has room again", async || {
        let circuit = &gateway.upstreams()[0].circuit;
        (circuit.requests, circuit.connections) == (0, 0)
    })
    .await;
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn the_clients_timeouts_do_not_end_a_quiet_tunnel() {
    let upstream = RawUpstream::start().await;
    let keys = "timeouts: { keep_alive: 200ms, head: 200ms, body_idle: 200ms }";
    let gateway = TestGateway::start(&config(&upstream, keys, "idle: 200ms")).await;
    let (mut client, mut service) = tunnel(gateway.address, &upstream).await;
    // Quiet at once, and quiet after bytes that might be the start of a head.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        passes_both_ways(&mut client, &mut service).await;
    }
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_has_passed_for_its_idle_time() {
    let upstream = RawUpstream::start().await;
    let idle = Duration::from_secs(1);
    let gateway = TestGateway::start(&config(&upstream, "", "tunnel_idle: 1s")).await;
    let (mut client, mut service) = tunnel(gateway.address, &upstream).await;
    let circuit = &gateway.upstreams()[0].circuit;
    assert_eq!((circuit.requests, circuit.connections), (1, 1));
    let mut last = Instant::now();
    // One direction alone keeps it, whichever it is.
    for number in 0..24 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = Instant::now();
        if number < 12 {
            service.send("x").await;
            assert_eq!(client.exactly(1).await, "x");
        } else {
            client.send("x").await;
            assert_eq!(service.exactly(1).await, "x");
        }
    }
    assert_eq!(client.rest().await, "");
    assert!(last.elapsed() >= idle, "{:?}", last.elapsed());
    assert_eq!(service.rest().await, "");
    all_connections_have_ended(&gateway).await;
}

#[tokio::test]
async fn what_the_service_sends_after_the_clients_end_arrives() {
    let upstream = RawUpstream::start().await;
    let gateway = TestGateway::start(&config(&upstream, "", "")).await;
    let (mut client, mut service) = tunnel(gateway.address, &upstream).await;
    client.send("last").await;
    client.end().await;
    assert_eq!(service.rest().await, "last");
    service.send("still here").await;
    assert_eq!(client.exactly(10).await, "still here");
    service.send("bye").await;
    service.end().await;
    assert_eq!(client.rest().await, "bye");
    all_connections_have_ended(&gateway).await;
}

#[tokio::test]
async fn what_the_client_sends_after_the_services_end_arrives() {
    let upstream = RawUpstream::start().await;
    let gateway = TestGateway::start(&config(&upstream, "", "")).await;
    let (mut client, mut service) = tunnel(gateway.address, &upstream).await;
    service.send("last").await;
    service.end().await;
    assert_eq!(client.rest().await, "last");
    client.send("still here").await;
    assert_eq!(service.exactly(10).await, "still here");
    client.send("bye").await;
    client.end().await;
    assert_eq!(service.rest().await, "bye");
    all_connections_have_ended(&gateway).await;
}

#[tokio::test]
async fn a_tunnel_goes_on_while_the_gateway_drains_and_ends_at_the_deadline() {
    let upstream = RawUpstream::start().await;
    let drain = Duration::from_secs(3);
    let config = config(&upstream, "drain_timeout: 3s", "");
    let mut gateway = Portcullis::start(&config).await;
    let (mut client, mut service) = tunnel(gateway.address, &upstream).await;
    let start = Instant::now();
    gateway.signal("TERM");
    gateway.wait_for_log("draining").await;
    passes_both_ways(&mut client, &mut service).await;
    assert_eq!(client.rest().await, "");
    assert!(start.elapsed() >= drain, "{:?}", start.elapsed());
    assert_eq!(service.rest().await, "");
    assert_eq!(gateway.ended().await.code(), Some(0));
    let took = start.elapsed();
    assert!(took < drain + Duration::from_secs(3), "{took:?}");
}
