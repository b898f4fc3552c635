//! Bodies pass whole, as they come, in both directions.

use http::Method;
use mock_service::{MockService, Step};

use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, within};

async fn gateway_to(url: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]"
    ))
    .await
}

#[tokio::test]
async fn a_body_with_a_length_arrives_with_it() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let answer = gateway.post("/echo", "hello").await;
    assert_eq!(answer.json()["body"], "hello");
    let request = &upstream.requests_to("/echo")[0];
    assert_eq!(request.headers["content-length"], "5");
    assert!(!request.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn a_chunked_body_arrives_chunked() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(
            "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nhel\r\n2;extension=1\r\nlo\r\n0\r\n\r\n",
        )
        .await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.contains("\"body\":\"hello\""), "{body}");
    let request = &upstream.requests_to("/echo")[0];
    assert_eq!(request.headers["transfer-encoding"], "chunked");
    assert!(!request.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_length_of_0_is_passed_on() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
        .await;
    client.message().await;
    let request = &upstream.requests_to("/echo")[0];
    assert_eq!(request.headers["content-length"], "0");
    assert!(!request.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn five_mebibytes_pass_both_ways() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let sent = "0123456789abcde\n".repeat(5 << 16);
    let answer = within(gateway.post("/echo", &sent)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["body"] == sent.as_str());
    let answer = within(gateway.get("/bytes/5242880")).await;
    assert_eq!(answer.header("content-length"), "5242880");
    assert_eq!(answer.body.len(), 5 << 20);
}

#[tokio::test]
async fn a_response_reaches_the_client_chunk_by_chunk() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    for chunk in ["first", "second"] {
        // The client has each chunk before the upstream sends the next.
        service
            .send(&format!("{:x}\r\n{chunk}\r\n", chunk.len()))
            .await;
        assert_eq!(client.chunk().await, chunk);
    }
    service.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn a_request_reaches_the_upstream_chunk_by_chunk() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    for chunk in ["first", "second"] {
        client
            .send(&format!("{:x}\r\n{chunk}\r\n", chunk.len()))
            .await;
        assert_eq!(service.chunk().await, chunk);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(service.chunk().await, "");
    service
        .send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn an_upstream_may_answer_before_the_request_has_ended() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n0123456789")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        .await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(body, "big");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    client.send("hello").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.contains("\"body\":\"hello\""), "{body}");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let upstream = MockService::start().await;
    let etag = Step::respond(304, "").with_header("etag", "\"v1\"");
    upstream.script("/cached", vec![etag]);
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;

    client
        .send("HEAD /bytes/1000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "content-length"), Some("1000"));

    client
        .send("GET /status/204 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    assert_eq!(field(&head, "content-length"), None);
    assert_eq!(field(&head, "transfer-encoding"), None);

    client.send("GET /cached HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304 "), "{head}");
    assert_eq!(field(&head, "etag"), Some("\"v1\""));

    client.send("HEAD /reset HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");

    client
        .send("GET /bytes/5 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let (_, body) = client.message().await;
    assert_eq!(body, "xxxxx");
}

#[tokio::test]
async fn a_truncated_response_breaks_the_clients_connection() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /truncate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(field(&head, "content-length"), Some("100"));
    assert_eq!(client.rest().await, "0123456789");

    let mut client = gateway.client().await;
    let broken = client.try_send(Method::GET, "/truncate", &[], "").await;
    assert!(broken.is_err());
    assert_eq!(gateway.get("/after").await.status, 200);
    upstream.wait_for_open_connections(1).await;
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn a_truncated_chunked_response_does_not_look_complete() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunk().await, "hello");
    drop(service);
    assert_eq!(client.rest().await, "");
}
