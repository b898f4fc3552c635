//! Trailers over HTTP/1.1: which of them pass, and that another attempt has them too.

use crate::support::TestGateway;
use crate::support::raw::{RawConnection, RawUpstream};

async fn gateway_to(upstream: &RawUpstream, policies: &str, route: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [\"{}\"] }} }}\n{policies}\n\
         routes: [{{ name: r, upstream: u{route} }}]",
        upstream.url()
    ))
    .await
}

/// A field that passes, and two that do not.
const SENT: [&str; 2] = [
    "0\r\nx-sum: 5\r\ncontent-length: 7\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
    "0\r\ntransfer-encoding: chunked\r\nhost: evil\r\nx-sum: 5\r\n\r\n",
];
const PASSED: &str = "0\r\nx-sum: 5\r\n\r\n";
/// All of them are announced: what is not is left out for that alone.
const ANNOUNCED: &str = "trailer: x-sum, content-length, x-forwarded-for, transfer-encoding, host";

fn request(trailers: &str) -> String {
    format!(
        "PUT /x HTTP/1.1\r\nhost: a\r\nte: trailers\r\n{ANNOUNCED}\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n{trailers}"
    )
}

#[tokio::test]
async fn trailers_that_belong_in_a_head_do_not_pass() {
    for trailers in SENT {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream, "", "").await;
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(&request(trailers)).await;
        let mut service = upstream.accept().await;
        service.head().await;
        assert_eq!(service.chunk().await, "hello");
        assert_eq!(service.exactly(PASSED.len()).await, PASSED);
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{ANNOUNCED}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n{trailers}"
        );
        service.send(&answer).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.chunk().await, "ok");
        assert_eq!(client.exactly(PASSED.len()).await, PASSED);
    }
}

#[tokio::test]
async fn another_attempt_has_the_trailers_too() {
    let upstream = RawUpstream::start().await;
    let retry = "policies: { retry: { component: 'builtin:retry', isolation: pooled } }";
    let uses = ", policies: [{ use: retry, on_failure: closed, config: { backoff: { base: 1ms, cap: 1ms } } }]";
    let gateway = gateway_to(&upstream, retry, uses).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&request(SENT[0])).await;
    for answer in ["503 Service Unavailable", "200 OK"] {
        let mut service = upstream.accept().await;
        service.head().await;
        assert_eq!(service.chunk().await, "hello");
        assert_eq!(service.exactly(PASSED.len()).await, PASSED);
        let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        service.send(&answer).await;
    }
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
