//! What a hostile or broken peer may send, and what the gateway makes of it.

use std::time::{Duration, Instant};

use mock_service::MockService;

use crate::support::TestGateway;
use crate::support::raw::{RawConnection, RawUpstream, field};

async fn gateway_to(url: &str, route: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u{route} }}]\n"
    ))
    .await
}

/// The answer's head to these bytes on a connection of their own; empty when there is none.
async fn answer_to(gateway: &TestGateway, request: &str) -> String {
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(request).await;
    client.head().await
}

#[tokio::test]
async fn a_get_with_a_chunked_body_reaches_the_upstream_with_it() {
    for method in ["GET", "HEAD", "DELETE"] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream.url(), "").await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send(&format!(
                "{method} /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ))
            .await;
        let mut service = upstream.accept().await;
        let head = service.head().await;
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"), "{head}");
        assert_eq!(service.chunk().await, "hello", "{method}");
        assert_eq!(service.chunk().await, "", "{method}");
        service
            .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "), "{method}");
    }
}

#[tokio::test]
async fn an_attempt_answered_before_its_body_leaves_no_connection_after_a_retry() {
    let upstream = RawUpstream::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies: {{ retry: {{ component: 'builtin:retry', isolation: pooled }} }}
routes:
  - name: r
    upstream: u
    retry_non_idempotent: true
    policies: [{{ use: retry, on_failure: closed, config: {{ backoff: {{ base: 1ms, cap: 1ms }} }} }}]
",
        upstream.url()
    ))
    .await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        .await;
    let mut first = upstream.accept().await;
    first.head().await;
    assert_eq!(first.exactly(5).await, "hello");
    first
        .send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        .await;
    let mut second = upstream.accept().await;
    second.head().await;
    client.send("world").await;
    assert_eq!(second.exactly(10).await, "helloworld");
    second
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(client.message().await.1, "ok");
    // Ends only when the gateway closes it; the client stays.
    first.rest().await;
}

#[tokio::test]
async fn a_target_that_its_rewrite_makes_too_long_is_414_and_not_forwarded() {
    let upstream = MockService::start().await;
    let rewrite = ", rewrite: { add_prefix: /internal/public/services/of-all-kinds }";
    let gateway = TestGateway::start(&format!(
        "limits: {{ uri_bytes: 64KiB }}\nupstreams: {{ u: {{ endpoints: [{}] }} }}\n\
         routes: [{{ name: r, upstream: u{rewrite} }}]\n",
        upstream.url()
    ))
    .await;
    let path = "p".repeat(65_505);
    let head = answer_to(
        &gateway,
        &format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n"),
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 414 "), "{head}");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn an_immediate_resend_on_a_new_connection_ends_by_the_first_deadline() {
    const DEADLINE: Duration = Duration::from_secs(2);
    const HELD: Duration = Duration::from_millis(1_600);
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), ", deadline: 2s").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await;
    client.head().await;

    let start = Instant::now();
    client.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    service.head().await;
    // The reused connection goes when most of the deadline is over.
    tokio::time::sleep(HELD).await;
    drop(service);
    let mut again = upstream.accept().await;
    again.head().await;
    let head = client.head().await;
    let elapsed = start.elapsed();
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(elapsed < DEADLINE + HELD / 2, "{elapsed:?}");
}

#[tokio::test]
async fn an_answer_that_no_client_may_see_is_502_upstream_protocol() {
    for answer in [
        "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "600 X\r\ncontent-length: 0\r\n\r\n",
        "999 X\r\ncontent-length: 0\r\n\r\n",
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream.url(), "").await;
        let mut client = RawConnection::connect(gateway.address).await;
        client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut service = upstream.accept().await;
        service.head().await;
        service.send(&format!("HTTP/1.1 {answer}")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer}: {head}");
        assert_eq!(
            field(&head, "x-portcullis-error"),
            Some("upstream-protocol"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_broken_chunked_body_is_the_clients_fault() {
    for method in ["POST", "PUT"] {
        let upstream = MockService::start().await;
        let gateway = gateway_to(&upstream.url(), "").await;
        let head = answer_to(
            &gateway,
            &format!(
                "{method} /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n"
            ),
        )
        .await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{method}: {head}");
        assert_eq!(field(&head, "x-portcullis-error"), Some("request-body"));
    }
}

#[tokio::test]
async fn no_forwarding_field_of_a_client_reaches_the_upstream() {
    let names = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-ssl",
        "x-forwarded-invented",
        "x-real-ip",
    ];
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let lies: Vec<_> = names.iter().map(|name| (*name, "lie.example")).collect();
    assert_eq!(gateway.get_with("/echo", &lies).await.status, 200);
    let headers = &upstream.requests_to("/echo")[0].headers;
    for name in names {
        let passed = headers.get_all(name).iter().any(|value| {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.contains("lie.example")
        });
        assert!(!passed, "{name}: {headers:?}");
    }
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
}

#[tokio::test]
async fn a_transfer_coding_besides_chunked_is_refused() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let request = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let head = answer_to(&gateway, request).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_connection_value_beyond_ascii_still_removes_what_it_names() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let request =
        "GET /x HTTP/1.1\r\nhost: a\r\nconnection: x-secret, \u{e9}\r\nx-secret: 1\r\n\r\n";
    let head = answer_to(&gateway, request).await;
    let requests = upstream.requests();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        !requests[0].headers.contains_key("x-secret"),
        "{requests:?}"
    );
}
