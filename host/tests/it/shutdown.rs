//! Signals, as the real binary takes them.

use std::time::{Duration, Instant};

use http::Method;
use mock_service::{MockService, Step};

use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{TestClient, TestGateway, eventually, metric};

const REQUEST: &str = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

fn config(url: &str, drain_timeout: &str) -> String {
    format!(
        "drain_timeout: {drain_timeout}\nupstreams: {{ u: {{ endpoints: [{url}], timeouts: {{ attempt: 1m }} }} }}\n\
         routes: [{{ name: r, upstream: u, deadline: 1m }}]\n"
    )
}

/// The status of `path` on the metrics listener; `None` when it is gone.
async fn status_of(gateway: &Portcullis, path: &str) -> Option<u16> {
    let mut connection = RawConnection::try_connect(gateway.metrics_address).await?;
    connection
        .send(&format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await;
    connection.head().await.split(' ').nth(1)?.parse().ok()
}

async fn wait_for_connections(gateway: &Portcullis, count: f64) {
    eventually("the connections are open", async || {
        let mut client = TestClient::connect(gateway.metrics_address).await;
        let page = client.send(Method::GET, "/metrics", &[], "").await.text();
        metric(&page, "portcullis_connections_active", &[]) == count
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_finish_and_takes_no_new_ones() {
    let upstream = RawUpstream::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "1m")).await;
    assert_eq!(status_of(&gateway, "/healthz").await, Some(200));
    assert_eq!(status_of(&gateway, "/readyz").await, Some(200));
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(REQUEST).await;
    let mut service = upstream.accept().await;
    service.head().await;

    gateway.signal("TERM");
    gateway.wait_for_log("draining").await;
    eventually("no connection is taken", async || {
        RawConnection::try_connect(gateway.address).await.is_none()
    })
    .await;
    assert_eq!(status_of(&gateway, "/readyz").await, Some(503));
    assert_eq!(status_of(&gateway, "/healthz").await, Some(200));

    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .await;
    client.head().await;
    service.send("done").await;
    assert_eq!(client.rest().await, "done");
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
}

#[tokio::test]
async fn a_gateway_that_has_stopped_leaves_no_connection_behind() {
    let upstream = MockService::start().await;
    let routes = format!(
        "workers: 2\nupstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n",
        upstream.url()
    );
    let gateway = TestGateway::start(&routes).await;
    let (mut client, address) = (gateway.client().await, gateway.address);
    assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
    gateway.stop().await;
    assert!(RawConnection::try_connect(address).await.is_none());
    upstream.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn sigint_stops_as_well() {
    let upstream = MockService::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "1m")).await;
    gateway.signal("INT");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_up_the_end() {
    let upstream = MockService::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "1m")).await;
    let mut kept = gateway.client().await;
    assert_eq!(kept.send(Method::GET, "/x", &[], "").await.status, 200);
    let _silent = RawConnection::connect(gateway.address).await;
    wait_for_connections(&gateway, 2.0).await;
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_drain_timeout_cuts_a_request_that_does_not_end() {
    let upstream = MockService::start().await;
    upstream.script("/x", vec![Step::Hang]);
    let mut gateway = Portcullis::start(&config(&upstream.url(), "300ms")).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(REQUEST).await;
    upstream.wait_for_requests(1).await;
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(client.rest().await, "");
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let upstream = MockService::start().await;
    upstream.script("/x", vec![Step::Hang]);
    let mut gateway = Portcullis::start(&config(&upstream.url(), "1m")).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(REQUEST).await;
    upstream.wait_for_requests(1).await;
    gateway.signal("TERM");
    gateway.wait_for_log("draining").await;
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(client.rest().await, "");
    gateway.ended().await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn sighup_reads_the_config_again_and_a_bad_one_changes_nothing() {
    let (old, new) = (MockService::start().await, MockService::start().await);
    let gateway = Portcullis::start(&config(&old.url(), "1m")).await;
    let mut client = gateway.client().await;
    client.send(Method::GET, "/1", &[], "").await;

    gateway.write_config("upstreams: { u: { endpoints: [ftp://x], colour: red } }\npolicies: { p: { component: 'file:gone.wasm' } }\nroutes: [{ name: r, upstream: v }]");
    gateway.signal("HUP");
    gateway.wait_for_log("reload refused").await;
    for path in [
        "upstreams.u.endpoints[0]",
        "upstreams.u.colour",
        "policies.p.component: ",
        "routes[0].upstream",
    ] {
        gateway.wait_for_log(path).await;
    }
    client.send(Method::GET, "/2", &[], "").await;
    assert_eq!(old.requests().len(), 2);

    gateway.write_config(&config(&new.url(), "1m"));
    gateway.signal("HUP");
    gateway.wait_for_log("revision 2").await;
    client.send(Method::GET, "/3", &[], "").await;
    assert_eq!((old.requests().len(), new.requests().len()), (2, 1));
}
