//! A hook through which a body streams ends with its exchange: its instance goes, whoever waits for whom.

use std::time::{Duration, Instant};

use http::{Method, Request};
use mock_service::MockService;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::policy_config::{closed, open, policy_on};
use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{eventually, within};

const INSTANCES: &str = "portcullis_policy_instances";

/// A gateway whose one policy does this to bodies.
async fn gateway(url: &str, work: &str) -> Portcullis {
    let stream = policy_on("stream", "fixtures/stream-probe", "limits: { time: 30s }");
    let used = closed("stream", work);
    Portcullis::start(&format!(
        "
upstreams: {{ s: {{ endpoints: ['{url}'], timeouts: {{ attempt: 60s }} }} }}
policies:
  {stream}
routes: [{{ name: r, upstream: s, deadline: 60s, policies: [{used}] }}]
"
    ))
    .await
}

/// Panics unless no instance is left within a second from now, of the one that there was.
async fn freed(gateway: &Portcullis, what: &str) {
    let left = Instant::now();
    gateway.wait_for_metric(INSTANCES, &[], 0.0).await;
    // A departure is looked for every half second; the rest is for a busy machine.
    let took = left.elapsed();
    assert!(took < Duration::from_secs(2), "{what}: {took:?}");
}

/// A client of HTTP/2, as the task of its connection and what sends requests.
async fn h2_client(
    gateway: &Portcullis,
) -> (JoinHandle<()>, h2::client::SendRequest<bytes::Bytes>) {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let task = tokio::spawn(async move { drop(connection.await) });
    (task, within(client.ready()).await.unwrap())
}

#[tokio::test]
async fn a_response_that_nobody_takes_any_more_ends_its_hook() {
    let upstream = MockService::start().await;
    for work in ["{ response: [copy] }", "{ response: [write_for_ever] }"] {
        let gateway = gateway(&upstream.url(), work).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /stream/100000?interval_ms=20 HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        client.head().await;
        gateway.wait_for_metric(INSTANCES, &[], 1.0).await;
        drop(client);
        freed(&gateway, work).await;

        let (_connection, mut client) = h2_client(&gateway).await;
        let request = Request::get("http://a/stream/100000?interval_ms=20");
        let (response, mut reset) = client
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let body = within(response).await.unwrap().into_body();
        gateway.wait_for_metric(INSTANCES, &[], 1.0).await;
        drop(body);
        reset.send_reset(h2::Reason::CANCEL);
        freed(&gateway, work).await;
    }
}

#[tokio::test]
async fn a_request_whose_client_leaves_ends_its_hook() {
    for work in ["{ request: [copy] }", "{ request: [write_for_ever] }"] {
        // It takes what the system takes for it, and no more.
        let upstream = RawUpstream::start().await;
        let gateway = gateway(&upstream.url(), work).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        let _unread = upstream.accept().await;
        gateway.wait_for_metric(INSTANCES, &[], 1.0).await;
        drop(client);
        freed(&gateway, work).await;

        let (connection, mut client) = h2_client(&gateway).await;
        let request = Request::post("http://a/x").body(()).unwrap();
        let (_response, _body) = client.send_request(request, false).unwrap();
        let _unread = upstream.accept().await;
        gateway.wait_for_metric(INSTANCES, &[], 1.0).await;
        connection.abort();
        freed(&gateway, work).await;
    }
}

#[tokio::test]
async fn with_no_instance_left_a_body_is_not_begun() {
    const CONNECTIONS: usize = 4;
    const STREAMS: usize = 100;
    const ALL: usize = CONNECTIONS * STREAMS;
    // It has no other hook.
    let mask = policy_on("mask", "mask-digits", "limits: { time: 30s }");
    let config = "{ shown: 0 }";
    let route = |name: &str, used: &str| {
        let answer = "respond: { status: 200, body: own }";
        format!("{{ name: {name}, match: {{ path: /{name} }}, {answer}, policies: [{used}] }}")
    };
    let gateway = Portcullis::start(&format!(
        "
policy_instances: {ALL}
policies:
  {mask}
routes:
  - {}
  - {}
",
        route("closed", &closed("mask", config)),
        route("open", &open("mask", config)),
    ))
    .await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        // It takes no byte of any body, so that no hook comes to its end.
        let mut builder = h2::client::Builder::new();
        let handshake = builder.initial_window_size(0).handshake(stream);
        let (client, connection) = within(handshake).await.unwrap();
        let task = tokio::spawn(async move { drop(connection.await) });
        let mut client: h2::client::SendRequest<bytes::Bytes> = client;
        for _ in 0..STREAMS {
            client = within(client.ready()).await.unwrap();
            let request = Request::get("http://a/closed").body(()).unwrap();
            held.push(client.send_request(request, true).unwrap().0);
        }
        drop(task);
    }
    gateway.wait_for_metric(INSTANCES, &[], ALL as f64).await;
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, "/closed", &[], "").await;
    assert_eq!(answer.status, 503);
    let detail = "failed in on-response-body (overloaded)";
    assert!(answer.text().contains(detail), "{}", answer.text());
    let answer = client.send(Method::GET, "/open", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "own".into()));
    assert_eq!(answer.header("content-length"), "3");
    drop(held);
    gateway.wait_for_metric(INSTANCES, &[], 0.0).await;
    let answer = client.send(Method::GET, "/closed", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "own".into()));
    assert_eq!(answer.header("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn hooks_that_end_leave_no_instance() {
    let upstream = MockService::start().await;
    for work in [
        "{ request: [upper], response: [upper] }",
        "{ request: [{ pass: 1 }], response: [{ pass: 1 }] }",
        "{ request: [trap] }",
        "{ response: [{ pass: 1 }, trap] }",
    ] {
        let gateway = gateway(&upstream.url(), work).await;
        for _ in 0..50 {
            let mut client = RawConnection::connect(gateway.address).await;
            client
                .send("POST /bytes/10 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")
                .await;
            assert!(client.rest().await.starts_with("HTTP/1.1 "));
        }
        eventually("no instance is left", async || {
            let page = gateway.metrics().await;
            crate::support::metric(&page, INSTANCES, &[]) == 0.0
        })
        .await;
    }
}
