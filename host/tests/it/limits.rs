//! Each bound on what a client may send or hold: just under it passes, just over it is refused.

use http::Method;
use mock_service::{MockService, Step};
use tokio::net::TcpSocket;

use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestClient, TestGateway, within};

const REFUSED_REQUESTS: &str = "portcullis_requests_refused_total";
const REFUSED_CONNECTIONS: &str = "portcullis_connections_refused_total";

fn config(url: &str, limits: &str, route: &str) -> String {
    format!(
        "limits: {{ {limits} }}\nupstreams: {{ u: {{ endpoints: [{url}] }} }}\n\
         routes: [{{ name: r, upstream: u{route} }}]\n"
    )
}

async fn gateway_to(url: &str, limits: &str) -> TestGateway {
    TestGateway::start(&config(url, limits, "")).await
}

async fn wait_for_refusal(gateway: &TestGateway, name: &str, reason: &str) {
    let labels = [("portcullis_reason", reason)];
    gateway.wait_for_metric(name, &labels, 1.0).await;
}

/// A GET whose head has exactly `bytes` bytes.
fn head_of(bytes: usize) -> String {
    let (start, end) = ("GET /x HTTP/1.1\r\nhost: a\r\nx-fill: ", "\r\n\r\n");
    format!(
        "{start}{}{end}",
        "f".repeat(bytes - start.len() - end.len())
    )
}

/// A GET with that many fields.
fn fields_of(count: usize) -> String {
    let fields = (1..count).map(|n| format!("x-{n}: 1\r\n"));
    format!(
        "GET /x HTTP/1.1\r\nhost: a\r\n{}\r\n",
        fields.collect::<String>()
    )
}

#[tokio::test]
async fn a_head_may_have_so_many_bytes() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head_bytes: 8KiB").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&head_of(8 << 10)).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.send(&head_of((8 << 10) + 1)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.requests().len(), 1);
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "head").await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_431_once_it_is_too_large() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head_bytes: 8KiB").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&format!(
            "GET /x HTTP/1.1\r\nhost: a\r\nx-fill: {}",
            "f".repeat(9_000)
        ))
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
}

#[tokio::test]
async fn a_head_may_have_so_many_fields() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "headers: 10").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&fields_of(10)).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
    client.send(&fields_of(11)).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    assert_eq!(field(&head, "x-portcullis-error"), Some("head-too-large"));
    assert!(body.contains("\"code\":\"head-too-large\""), "{body}");
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "head").await;
    // Nothing of the request is left: the connection goes on.
    client.send(&fields_of(2)).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn more_fields_than_the_default_can_be_allowed() {
    let upstream = MockService::start().await;
    let elsewhere = ", match: { path_prefix: /elsewhere }";
    let config = config(&upstream.url(), "headers: 150", elsewhere);
    let gateway = TestGateway::start(&config).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&fields_of(150)).await;
    // Nobody's, but a request.
    assert!(client.message().await.0.starts_with("HTTP/1.1 404 "));
    client.send(&fields_of(151)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    assert_eq!(client.rest().await, "");
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "head").await;
}

#[tokio::test]
async fn a_target_may_have_so_many_bytes() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "uri_bytes: 256B").await;
    let path = format!("/{}?{}", "p".repeat(100), "q".repeat(154));
    assert_eq!(gateway.get(&path).await.status, 200);
    let answer = gateway.get(&format!("{path}q")).await;
    assert_eq!(answer.status, 414);
    assert_eq!(answer.header("x-portcullis-error"), "target-too-long");
    assert_eq!(upstream.requests().len(), 1);
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "uri_bytes").await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_413_unread() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "body: 10B").await;
    assert_eq!(gateway.post("/x", "0123456789").await.status, 200);
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n")
        .await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(field(&head, "x-portcullis-error"), Some("body-too-large"));
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.requests().len(), 1);
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "body").await;
}

#[tokio::test]
async fn nothing_in_a_refused_body_is_taken_for_a_request() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "body: 10B").await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for length in [smuggled.len(), 11, 1_000_000] {
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send(&format!(
                "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{smuggled}"
            ))
            .await;
        let (head, _) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(client.rest().await, "", "{length}");
    }
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&format!(
            "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n{smuggled}"
        ))
        .await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 413 "));
    assert_eq!(client.rest().await, "");
    assert!(upstream.requests_to("/smuggled").is_empty());
}

#[tokio::test]
async fn a_body_without_a_length_is_413_once_it_is_too_large() {
    for method in ["POST", "PUT"] {
        let upstream = MockService::start().await;
        let gateway = gateway_to(&upstream.url(), "body: 10B").await;
        let mut client = RawConnection::connect(gateway.address).await;
        let head = format!("{method} /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        client
            .send(&format!("{head}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"))
            .await;
        let (answer, _) = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        client
            .send(&format!("{head}5\r\n01234\r\n6\r\n567890\r\n"))
            .await;
        let (answer, _) = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{method}: {answer}");
        assert_eq!(field(&answer, "x-portcullis-error"), Some("body-too-large"));
        assert_eq!(client.rest().await, "");
        wait_for_refusal(&gateway, REFUSED_REQUESTS, "body").await;
        // What is left of the attempt has gone.
        upstream.wait_for_open_connections(0).await;
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_after_the_answers_head_breaks_the_exchange_off() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "body: 10B").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        .await;
    client.head().await;
    client.send("6\r\n567890\r\n").await;
    assert_eq!(client.rest().await, "");
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "body").await;
}

#[tokio::test]
async fn a_route_has_a_limit_of_its_own_for_bodies() {
    let upstream = MockService::start().await;
    let config = format!(
        "limits: {{ body: 10B }}\nupstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes:\n\
         - {{ name: more, match: {{ path_prefix: /more }}, upstream: u, limits: {{ body: 20B }} }}\n\
         - {{ name: any, match: {{ path_prefix: /any }}, upstream: u, limits: {{ body: 0B }} }}\n\
         - {{ name: rest, upstream: u }}\n",
        upstream.url()
    );
    let gateway = TestGateway::start(&config).await;
    let table = [
        ("/", 10, 200),
        ("/", 11, 413),
        ("/more", 20, 200),
        ("/more", 21, 413),
        ("/any", 100_000, 200),
    ];
    for (path, length, status) in table {
        let answer = gateway.post(path, &"b".repeat(length)).await;
        assert_eq!(answer.status, status, "{path} {length}");
    }
}

/// A client whose first request has been answered: its connection has been counted.
async fn served(gateway: &TestGateway) -> TestClient {
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, "/x", &[], "").await;
    assert_eq!(answer.status, 200);
    client
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "connections: 2").await;
    let first = served(&gateway).await;
    let mut second = served(&gateway).await;
    let mut third = RawConnection::connect(gateway.address).await;
    assert_eq!(third.rest().await, "");
    wait_for_refusal(&gateway, REFUSED_CONNECTIONS, "connections").await;
    // Those that are open go on, and a place that gets free can be taken.
    assert_eq!(second.send(Method::GET, "/x", &[], "").await.status, 200);
    drop(first);
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 1.0)
        .await;
    served(&gateway).await;
}

#[tokio::test]
async fn one_client_can_not_take_all_connections() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "connections_per_client: 1").await;
    let _first = served(&gateway).await;
    let mut again = RawConnection::connect(gateway.address).await;
    assert_eq!(again.rest().await, "");
    wait_for_refusal(&gateway, REFUSED_CONNECTIONS, "connections_per_client").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = within(socket.connect(gateway.address)).await.unwrap();
    let mut other = TestClient::over(stream, gateway.address).await;
    assert_eq!(other.send(Method::GET, "/x", &[], "").await.status, 200);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_answered_503_with_retry_after() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url(), "requests: 1").await;
    let mut hanging = RawConnection::connect(gateway.address).await;
    hanging.send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, "/x", &[], "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-portcullis-error"), "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "requests").await;
    drop(hanging);
    upstream.wait_for_open_connections(0).await;
    // On the connection that was refused a request before.
    assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_reload_changes_the_limits() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "headers: 10, connections: 1").await;
    let mut client = served(&gateway).await;
    let next = config(&upstream.url(), "headers: 1, body: 3B, connections: 2", "");
    gateway.reload(&next).await.unwrap();
    // For the next request on a connection that is open, and for new connections.
    let answer = client
        .send(Method::POST, "/x", &[("x-more", "1")], "")
        .await;
    assert_eq!(answer.status, 431);
    let mut other = gateway.client().await;
    let answer = other.try_send(Method::POST, "/x", &[], "1234").await;
    assert_eq!(answer.unwrap().status, 431);
    let next = config(&upstream.url(), "body: 3B", "");
    gateway.reload(&next).await.unwrap();
    assert_eq!(gateway.post("/x", "1234").await.status, 413);
}

#[tokio::test]
async fn an_exchange_may_take_so_long_and_no_longer() {
    let upstream = MockService::start().await;
    let route = ", limits: { duration: 300ms }";
    let gateway = TestGateway::start(&config(&upstream.url(), "", route)).await;
    let mut client = gateway.client().await;
    assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
    let endless = client
        .try_send(Method::GET, "/stream/100000?interval_ms=10", &[], "")
        .await;
    assert!(endless.is_err());
    wait_for_refusal(&gateway, REFUSED_REQUESTS, "duration").await;
    upstream.wait_for_open_connections(0).await;
}
