//! What the gateway changes in a request and a response on their way, and what it refuses to send on.

use std::collections::HashSet;

use mock_service::MockService;

use crate::support::TestGateway;
use crate::support::raw::{RawConnection, RawUpstream, field};

/// One route to `url`.
async fn gateway_to(url: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]"
    ))
    .await
}

#[tokio::test]
async fn fields_of_the_clients_connection_do_not_reach_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(
            "GET /x HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, X-Private\r\nconnection: x-forwarded-for\r\n\
             x-private: 1\r\nx-public: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\ntrailer: x-sum\r\n\
             proxy-connection: keep-alive\r\nproxy-authorization: Basic eDp5\r\nupgrade: h2c\r\n\r\n",
        )
        .await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let request = &upstream.requests_to("/x")[0];
    let gone = [
        "x-private",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
    ];
    for name in gone {
        assert!(
            !request.headers.contains_key(name),
            "{name}: {:?}",
            request.headers
        );
    }
    // Said anew, by the gateway to the upstream.
    assert_eq!(request.headers["connection"], "te");
    assert_eq!(request.headers["te"], "trailers");
    assert_eq!(request.headers["trailer"], "x-sum");
    assert_eq!(request.headers["x-public"], "1");
    assert_eq!(request.headers["x-forwarded-for"], "127.0.0.1");
}

#[tokio::test]
async fn fields_of_the_upstreams_connection_do_not_reach_the_client() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let serve = async {
        let mut connection = upstream.accept().await;
        connection.head().await;
        connection
            .send(
                "HTTP/1.1 200 OK\r\nconnection: x-internal, close\r\nx-internal: 1\r\nx-public: 1\r\n\
                 keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\ntrailer: x-sum\r\n\
                 content-length: 2\r\n\r\nok",
            )
            .await;
    };
    let mut client = gateway.client().await;
    let (answer, ()) = tokio::join!(client.send(http::Method::GET, "/", &[], ""), serve);
    for name in [
        "connection",
        "x-internal",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert!(
            !answer.headers.contains_key(name),
            "{name}: {:?}",
            answer.headers
        );
    }
    assert_eq!(answer.header("x-public"), "1");
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn what_the_client_says_of_itself_is_replaced_by_what_the_gateway_sees() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let spoofed = [
        ("host", "shop.example.com"),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.1"),
        ("x-forwarded-for", "203.0.113.10"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example.com"),
        ("forwarded", "for=203.0.113.9"),
        ("x-request-id", "spoofed"),
    ];
    let answer = gateway.get_with("/x", &spoofed).await;
    let headers = &answer.json()["headers"];
    for (name, value) in [
        ("host", "shop.example.com"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-request-id", answer.header("x-request-id")),
    ] {
        assert_eq!(headers[name], serde_json::json!([value]), "{name}");
    }
    assert!(headers.get("forwarded").is_none());
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let upstream = MockService::start().await;
    upstream.script(
        "/claims",
        vec![mock_service::Step::respond(200, "").with_header("x-request-id", "the-upstreams")],
    );
    let gateway = gateway_to(&upstream.url()).await;
    let mut ids = HashSet::new();
    for path in ["/a", "/b", "/status/500", "/claims", "/reset"] {
        let answer = gateway.get(path).await;
        let id = answer.header("x-request-id");
        assert_eq!(id.len(), 32, "{path}: {id}");
        assert!(
            ids.insert(id.to_owned()),
            "{path}: {id} for the second time"
        );
    }
}

#[tokio::test]
async fn requests_that_can_not_be_forwarded_are_answered_with_400() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
    ] {
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(request).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{request}: {head}");
        assert_eq!(
            field(&head, "x-portcullis-error"),
            Some("bad-request"),
            "{request}"
        );
        assert!(body.contains("\"code\":\"bad-request\""), "{body}");
    }
    for broken in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nbad field: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(broken).await;
        let head = client.head().await;
        assert!(
            head.starts_with("HTTP/1.1 400 ") || head.starts_with("HTTP/1.0 400 "),
            "{broken}: {head}"
        );
        client.rest().await;
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[tokio::test]
async fn a_body_with_two_lengths_smuggles_no_second_request() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(
            "POST /one HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\
             connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    for request in upstream.requests() {
        assert_eq!(request.path, "/one");
        assert_eq!(request.body, "hello");
        assert!(!request.headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn the_authority_of_an_absolute_target_holds() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET http://right.example.com/x?y=1 HTTP/1.1\r\nhost: wrong\r\n\r\n")
        .await;
    client.message().await;
    let request = &upstream.requests_to("/x")[0];
    assert_eq!(request.headers["host"], "right.example.com");
    assert_eq!(request.headers["x-forwarded-host"], "right.example.com");
    assert_eq!(request.query, "y=1");
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_that_ends_with_the_connection() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /stream/3?interval_ms=1 HTTP/1.0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(
        client.rest().await,
        "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n"
    );
    // RFC 9112 §3.2: what we send as HTTP/1.1 has a Host.
    let request = &upstream.requests()[0];
    assert_eq!(
        request.headers["host"],
        upstream.address().to_string().as_str()
    );
    assert!(!request.headers.contains_key("x-forwarded-host"));
}

#[tokio::test]
async fn an_http_1_0_client_may_keep_its_connection() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    for _ in 0..2 {
        client
            .send("GET /bytes/5 HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            .await;
        let (head, body) = client.message().await;
        assert_eq!(field(&head, "connection"), Some("keep-alive"), "{head}");
        assert_eq!(body, "xxxxx");
    }
}
