//! Heads on their way in and out: paths that policies set, trusted proxies, Via, and what broken upstreams
//! answer.

use mock_service::MockService;

use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, component};

/// One route to `url`; `head` is further top-level config, `route` further keys of the route.
async fn gateway_to(url: &str, head: &str, route: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}], timeouts: {{ attempt: 1s }} }} }}\n\
         policies: {{ probe: {{ component: 'file:{}' }} }}\n\
         routes: [{{ name: r, upstream: u{route} }}]\n{head}\n",
        component("fixtures/probe").display()
    ))
    .await
}

/// A use of the fixture that writes down what it sees, with that config.
fn probe(config: &str) -> String {
    format!(", policies: [{{ use: probe, on_failure: closed, config: {{ {config} }} }}]")
}

#[tokio::test]
async fn a_path_that_a_policy_sets_is_spelled_like_a_clients() {
    let upstream = MockService::start().await;
    let rewrite = probe("rewrite_path: '/a//b/%2e%2e/%63?q=/../'");
    let gateway = gateway_to(&upstream.url(), "", &rewrite).await;
    assert_eq!(gateway.get("/x").await.status, 200);
    let request = &upstream.requests()[0];
    assert_eq!((&*request.path, &*request.query), ("/a/c", "q=/../"));
}

#[tokio::test]
async fn a_path_that_no_client_may_send_no_policy_may_set() {
    for path in ["/../x", "/%00", "/a%2fb", "/a\\b", "/a#b", "/..;/x"] {
        let upstream = MockService::start().await;
        let rewrite = probe(&format!("rewrite_path: '{path}'"));
        let gateway = gateway_to(&upstream.url(), "", &rewrite).await;
        let answer = gateway.get("/x").await;
        assert_eq!(
            answer.header("x-portcullis-error"),
            "policy-failed",
            "{path}"
        );
        assert!(upstream.requests().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn encoded_slashes_are_what_the_config_says_and_a_reload_changes_it() {
    let upstream = MockService::start().await;
    let config = |slashes: &str| {
        format!(
            "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n\
             path_normalisation: {{ encoded_slashes: {slashes} }}\n",
            upstream.url()
        )
    };
    let gateway = TestGateway::start(&config("reject")).await;
    assert_eq!(gateway.get("/a%2fb").await.status, 400);
    gateway.reload(&config("keep")).await.unwrap();
    assert_eq!(gateway.get("/a%2fb").await.json()["path"], "/a%2Fb");
    gateway.reload(&config("decode")).await.unwrap();
    assert_eq!(gateway.get("/a%2fb").await.json()["path"], "/a/b");
}

#[tokio::test]
async fn policies_see_the_client_that_a_trusted_proxy_speaks_for() {
    for (trusted, client, chain) in [
        (
            "[127.0.0.0/8]",
            "203.0.113.9",
            "6.6.6.6, 203.0.113.9, 127.0.0.1",
        ),
        ("[]", "127.0.0.1", "127.0.0.1"),
        ("[10.0.0.0/8]", "127.0.0.1", "127.0.0.1"),
    ] {
        let upstream = MockService::start().await;
        let head = format!("trusted_proxies: {trusted}");
        let gateway = gateway_to(&upstream.url(), &head, &probe("")).await;
        let said = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
            ("x-request-id", "of-the-proxy"),
        ];
        let answer = gateway.get_with("/x", &said).await;
        let headers = &upstream.requests()[0].headers;
        assert_eq!(headers["x-probe-client"], client, "{trusted}");
        assert_eq!(headers["x-forwarded-for"], chain, "{trusted}");
        let is_taken_over = answer.header("x-request-id") == "of-the-proxy";
        assert_eq!(is_taken_over, client != "127.0.0.1", "{trusted}");
    }
}

#[tokio::test]
async fn via_is_added_both_ways_under_the_name_of_the_config() {
    for (head, via) in [
        ("", "1.1 portcullis"),
        ("via: edge-1", "1.1 edge-1"),
        ("via: none", ""),
    ] {
        let upstream = MockService::start().await;
        let gateway = gateway_to(&upstream.url(), head, "").await;
        let answer = gateway.get("/x").await;
        assert_eq!(answer.header("via"), via);
        let requests = upstream.requests();
        let sent = requests[0].headers.get("via");
        assert_eq!(sent.map_or("", |sent| sent.to_str().unwrap()), via);
    }
}

/// The status and the code that a client gets when the upstream answers with these bytes.
async fn answered_with(bytes: &str) -> (String, String) {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "", "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(bytes).await;
    let head = client.head().await;
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let code = field(&head, "x-portcullis-error").unwrap_or_default();
    (status, code.to_owned())
}

#[tokio::test]
async fn an_answer_with_two_ends_or_none_is_502() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for bytes in [
        format!("{ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        format!("{ok}transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        format!("{ok}content-length: 2\r\ncontent-length: 3\r\n\r\nok"),
        format!("{ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}content-length: 2, 2\r\n\r\nok"),
        format!("{ok}content-length: +2\r\n\r\nok"),
        format!("{ok}content-length: two\r\n\r\nok"),
        format!("{ok}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{ok}content-length : 2\r\n\r\nok"),
        format!("{ok}x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n"),
        format!("{ok}x-a: 1\0\r\ncontent-length: 0\r\n\r\n"),
        format!("{ok}{}\r\n", "x-a: 1\r\n".repeat(300)),
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "\x16\x03\x01\r\n\r\n".to_owned(),
    ] {
        let (status, code) = answered_with(&bytes).await;
        let shown: String = bytes.chars().take(120).collect();
        assert_eq!(
            (&*status, &*code),
            ("502", "upstream-protocol"),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn two_thousand_interim_answers_are_no_answer() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "", "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(2_000))
        .await;
    let mut head = client.head().await;
    while head.starts_with("HTTP/1.1 1") {
        head = client.head().await;
    }
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
}

#[tokio::test]
async fn a_broken_chunk_of_the_upstream_aborts_the_answer() {
    for broken in ["zz\r\n", "-1\r\n", "2\r\nokXX", "5;\nhello\r\n"] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream.url(), "", "").await;
        let mut client = RawConnection::connect(gateway.address).await;
        client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut service = upstream.accept().await;
        service.head().await;
        service
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.chunk().await, "hello");
        service.send(broken).await;
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{broken:?}: {rest:?}");
    }
}
