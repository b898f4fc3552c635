//! Connections that switch protocols: who may, and what passes.

use crate::support::TestGateway;
use crate::support::raw::{RawConnection, RawUpstream, field};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";

async fn gateway_to(url: &str, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ s: {{ endpoints: [\"{url}\"] }} }}
routes: [{{ name: all, upstream: s{keys} }}]"
    ))
    .await
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_each_side_ends_for_itself() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    // What comes with the request is not the service's before it has agreed (CVE-2026-2833).
    client.send(&format!("{ASK}early")).await;
    let mut service = upstream.accept().await;
    let head = service.head().await;
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    assert_eq!(field(&head, "sec-websocket-key"), Some("k"));
    service
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-accept: x\r\n\r\nhello")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("WebSocket"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("x"));
    assert_eq!(client.exactly(5).await, "hello");
    assert_eq!(service.exactly(5).await, "early");
    let large = "x".repeat(1 << 20);
    let (service_side, ()) = tokio::join!(service.exactly(large.len()), client.send(&large));
    assert_eq!(service_side.len(), large.len());
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 1.0)
        .await;
    drop(service);
    assert_eq!(client.rest().await, "");
    drop(client);
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn a_service_that_declines_answers_as_usual() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(ASK).await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(body, "no");
}

#[tokio::test]
async fn another_protocol_than_the_one_asked_for_is_a_bad_gateway() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(ASK).await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[tokio::test]
async fn a_protocol_that_the_route_does_not_allow_is_not_asked_for() {
    for (keys, protocol, passes) in [
        (", upgrades: []", "websocket", false),
        ("", "h2c", false),
        (", upgrades: ['*']", "irc/6.9", true),
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream.url(), keys).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send(&ASK.replace("websocket\r\n", &format!("{protocol}\r\n")))
            .await;
        let head = upstream.accept().await.head().await;
        assert_eq!(
            field(&head, "upgrade").is_some(),
            passes,
            "{protocol}: {head}"
        );
    }
}

#[tokio::test]
async fn a_failed_grpc_call_is_told_in_grpcs_words() {
    let gateway = gateway_to("http://127.0.0.1:1", "").await;
    let answer = gateway
        .get_with("/pkg.Service/Call", &[("content-type", "application/grpc")])
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/grpc");
    assert_eq!(answer.header("grpc-status"), "14");
    assert_eq!(answer.header("grpc-message"), "upstream-connect-refused");
    assert_eq!(answer.body.len(), 0);
}

#[tokio::test]
async fn a_grpc_call_that_no_route_takes_is_unimplemented() {
    let gateway = TestGateway::start(
        "upstreams: { s: { endpoints: ['http://127.0.0.1:1'] } }
routes: [{ name: other, match: { path_prefix: /other }, upstream: s }]",
    )
    .await;
    let call = [("content-type", "application/grpc+proto")];
    let answer = gateway.get_with("/pkg.Service/Call", &call).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("grpc-status"), "12");
    assert_eq!(answer.header("grpc-message"), "no-route");
    assert_eq!(answer.body.len(), 0);
    let answer = gateway.get("/pkg.Service/Call").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["code"], "no-route");
}
