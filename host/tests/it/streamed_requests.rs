//! Bodies of requests that pass through policies: what the upstream gets, when, and what comes of a policy
//! that fails.

use bytes::Bytes;
use http::{Method, Request, Version};
use mock_service::{MockService, RecordedRequest, Step};
use tokio::net::TcpStream;

use crate::policy_config::{closed, faults, open, policy_on};
use crate::support::http2::H2Upstream;
use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, eventually, freed_within_a_second, metric, within};

const TERMS: &str = "limits: { time: 30s }";

/// One route `r` with these uses.
async fn gateway(url: &str, terms: &str, uses: &[String], route: &str) -> TestGateway {
    TestGateway::start(&text(
        &format!("endpoints: [\"{url}\"]"),
        terms,
        uses,
        route,
    ))
    .await
}

fn text(upstream: &str, terms: &str, uses: &[String], route: &str) -> String {
    let stream = policy_on("stream", "fixtures/stream-probe", terms);
    let probe = policy_on("probe", "fixtures/probe", TERMS);
    format!(
        "
upstreams: {{ api: {{ {upstream} }}, shadow: {{ {upstream} }} }}
policies:
  {stream}
  {probe}
  retry: {{ component: 'builtin:retry' }}
routes: [{{ name: r, upstream: api, policies: [{}], {route} }}]
",
        uses.join(", ")
    )
}

fn steps(steps: &str) -> String {
    format!("{{ request: [{steps}] }}")
}

fn does(work: &str) -> String {
    closed("stream", &steps(work))
}

fn head(framing: &str) -> String {
    format!("POST /x HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n")
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn chunked(body: &str) -> String {
    head("transfer-encoding: chunked") + &chunk(body) + "0\r\n\r\n"
}

fn with_length(body: &str) -> String {
    head(&format!("content-length: {}", body.len())) + body
}

/// Sends over HTTP/1.1 and returns what the upstream has got.
async fn passed(gateway: &TestGateway, upstream: &MockService, sent: &str) -> RecordedRequest {
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(sent).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    upstream.requests().last().unwrap().clone()
}

#[tokio::test]
async fn what_a_policy_writes_is_what_the_upstream_gets() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("upper")], "").await;
    for sent in [with_length("hello"), chunked("hello")] {
        let request = passed(&gateway, &upstream, &sent).await;
        assert_eq!(request.body, "HELLO");
        assert!(!request.headers.contains_key("content-length"));
        assert_eq!(request.headers["transfer-encoding"], "chunked");
    }
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a/x").version(Version::HTTP_2);
    let request = request.header("content-length", 5).body(()).unwrap();
    let mut ready = within(client.ready()).await.unwrap();
    let (response, mut body) = ready.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    assert_eq!(upstream.requests().last().unwrap().body, "HELLO");
}

#[tokio::test]
async fn an_upstream_of_http_2_gets_it_with_the_trailers_that_the_policy_sets() {
    for (work, sum) in [
        ("upper", "5"),
        ("upper, { set_trailers: [[x-sum, '6']] }", "6"),
    ] {
        let upstream = H2Upstream::start().await;
        let endpoint = format!("endpoints: [\"{}\"], protocol: http2", upstream.url());
        let gateway = TestGateway::start(&text(&endpoint, TERMS, &[does(work)], "")).await;
        let mut client = RawConnection::connect(gateway.address).await;
        let sent = head("trailer: x-sum\r\ntransfer-encoding: chunked");
        client
            .send(&format!(
                "{sent}2\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 5\r\n\r\n"
            ))
            .await;
        let mut exchange = upstream.accept().await.request().await;
        let (body, trailers) = exchange.body().await;
        assert_eq!(
            (&*body, &trailers.unwrap()["x-sum"]),
            ("HELLO", &sum.parse().unwrap())
        );
        assert!(!exchange.request.headers().contains_key("content-length"));
        exchange.answer("ok");
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn the_first_policy_reads_first_and_the_last_writes_last() {
    let upstream = MockService::start().await;
    let wraps = |name: &str| does(&format!("{{ write: '{name}(' }}, copy, {{ write: ')' }}"));
    let uses = [wraps("a"), does("upper"), wraps("b")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let request = passed(&gateway, &upstream, &with_length("hello")).await;
    assert_eq!(request.body, "b(A(HELLO))");
}

#[tokio::test]
async fn each_part_passes_two_policies_before_the_next_is_sent() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("copy"), does("upper")], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&(head("transfer-encoding: chunked") + &chunk("one")))
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    assert_eq!(service.chunk().await, "ONE");
    client.send(&chunk("two")).await;
    assert_eq!(service.chunk().await, "TWO");
    client.send("0\r\n\r\n").await;
    assert_eq!(service.chunk().await, "");
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let upstream = RawUpstream::start().await;
    let both = closed("stream", "{ request: [upper], response: [upper] }");
    let gateway = gateway(&upstream.url(), TERMS, &[both], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&(head("transfer-encoding: chunked") + &chunk("one")))
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.head().await;
    for (sent, passed) in [("one", "ONE"), ("two", "TWO"), ("three", "THREE")] {
        if sent != "one" {
            client.send(&chunk(sent)).await;
        }
        assert_eq!(service.chunk().await, passed);
        service.send(&chunk(sent)).await;
        assert_eq!(client.chunk().await, passed);
    }
}

#[tokio::test]
async fn connections_serve_on_after_bodies_that_have_passed() {
    let upstream = MockService::start().await;
    let both = closed("stream", "{ request: [upper], response: [upper] }");
    let gateway = gateway(&upstream.url(), TERMS, &[both], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    for sent in [with_length("hello"), chunked("hello"), with_length("again")] {
        client.send(&sent).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        while !client.chunk().await.is_empty() {}
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn a_request_without_a_body_is_not_streamed() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("{ write: new }")], "").await;
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let mut client = gateway.client().await;
        assert_eq!(client.send(method, "/x", &[], "").await.status, 200);
        let request = upstream.requests().last().unwrap().clone();
        assert_eq!(
            (request.body.len(), request.headers.get("transfer-encoding")),
            (0, None)
        );
    }
    // Its head does not tell.
    let empty = head("transfer-encoding: chunked") + "0\r\n\r\n";
    assert_eq!(passed(&gateway, &upstream, &empty).await.body, "new");
}

#[tokio::test]
async fn what_a_policy_does_not_read_is_not_sent() {
    let upstream = MockService::start().await;
    let gateway = gateway(
        &upstream.url(),
        TERMS,
        &[does("{ pass: 2 }, { write: '!' }")],
        "",
    )
    .await;
    let mut client = RawConnection::connect(gateway.address).await;
    // It sends no end, and nobody waits for one.
    let sent = head("transfer-encoding: chunked") + &chunk("hello");
    client.send(&sent).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(upstream.requests()[0].body, "he!");
}

#[tokio::test]
async fn a_policy_may_write_more_than_it_reads_and_after_the_end() {
    let upstream = MockService::start().await;
    let work = "{ write_kib: 1024 }, count, { write: ' in all' }";
    let gateway = gateway(&upstream.url(), TERMS, &[does(work)], "").await;
    let request = passed(&gateway, &upstream, &chunked("hello")).await;
    assert_eq!(request.body.len(), (1 << 20) + "5 bytes in all".len());
    assert!(request.body.ends_with(b"w5 bytes in all"));
}

#[tokio::test]
async fn a_body_that_was_read_and_replaced_is_what_streams() {
    let upstream = MockService::start().await;
    let reads = |work: &str| closed("probe", &format!("{{ request_body: {{ {work} }} }}"));
    // All policies read before the first streams.
    let uses = [does("upper"), reads("read: 8, replace: other")];
    let replaced = gateway(&upstream.url(), TERMS, &uses, "").await;
    let request = passed(&replaced, &upstream, &with_length("hello")).await;
    assert_eq!(
        (&*request.body, &request.headers["x-probe-body"]),
        (&b"OTHER"[..], &"5:hello".parse().unwrap())
    );
    let uses = [does("upper"), reads("read: 2")];
    let read = gateway(&upstream.url(), TERMS, &uses, "").await;
    let request = passed(&read, &upstream, &with_length("hello")).await;
    assert_eq!(
        (&*request.body, &request.headers["x-probe-body"]),
        (&b"HELLO"[..], &"too-large".parse().unwrap())
    );
}

#[tokio::test]
async fn the_hook_sees_the_exchange_and_what_it_keeps_is_seen_later() {
    let upstream = MockService::start().await;
    let work = "{ request: [tell, { set_state: late }, { share: told }], state: kept }";
    let gateway = gateway(&upstream.url(), TERMS, &[closed("stream", work)], "").await;
    let mut client = gateway.client().await;
    let answer = client
        .send(Method::POST, "/x", &[("x-told", "request")], "hello")
        .await;
    let request = upstream.requests().last().unwrap().clone();
    assert_eq!(
        request.body,
        "POST request; state kept; edit edit refused: too late; read taken; replace edit refused: too late\n"
    );
    assert!(!request.headers.contains_key("x-late"));
    assert_eq!(answer.header("x-stream-state"), "late");
    assert_eq!(answer.header("x-stream-shared"), "told");
}

#[tokio::test]
async fn what_a_failed_hook_keeps_is_gone() {
    let upstream = MockService::start().await;
    let work = "{ request: [{ set_state: late }, { share: told }, trap], state: kept }";
    let gateway = gateway(&upstream.url(), TERMS, &[open("stream", work)], "").await;
    let answer = gateway.post("/x", "hello").await;
    assert_eq!(upstream.requests()[0].body, "hello");
    assert_eq!(
        (
            answer.header("x-stream-state"),
            answer.header("x-stream-shared")
        ),
        ("kept", "")
    );
}

#[tokio::test]
async fn a_fault_breaks_the_request_off_and_the_client_is_told() {
    for (used, kind) in [
        (does("{ pass: 5 }, trap"), "trap"),
        (does("{ pass: 5 }, { fail: why }"), "error"),
        (does("{ pass: 5 }, spin"), "deadline"),
        (does("{ pass: 5 }, read_nothing_for_ever"), "limit"),
        (does("trap"), "trap"),
        // What it has taken can't be given back.
        (open("stream", &steps("{ pass: 5 }, trap")), "trap"),
    ] {
        let upstream = RawUpstream::start().await;
        let terms = "limits: { time: 1s, host_calls: 100 }";
        let gateway = gateway(&upstream.url(), terms, &[used], "").await;
        let serve = async {
            let mut service = upstream.accept().await;
            service.head().await;
            service.rest().await
        };
        let (answer, got) = tokio::join!(gateway.post("/x", "hello world"), serve);
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-portcullis-error")),
            (503, "policy-failed"),
            "{kind}"
        );
        let detail = format!("policy \\\"stream\\\" failed in on-request-body ({kind})");
        assert!(answer.text().contains(&detail), "{}", answer.text());
        assert!(got.is_empty() || got == "5\r\nhello\r\n", "{got:?}");
        let page = gateway.metrics().await;
        assert_eq!(
            faults(&page, "stream", "r", "on-request-body", kind),
            1,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_policy_behind_one_that_fails_is_told_and_can_not_end_the_body() {
    let upstream = RawUpstream::start().await;
    let uses = [does("{ pass: 5 }, trap"), does("read_past_errors")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service.rest().await
    };
    let (answer, got) = tokio::join!(gateway.post("/x", "hello world"), serve);
    assert_eq!(answer.header("x-portcullis-error"), "policy-failed");
    assert!(answer.text().contains("(trap)"), "{}", answer.text());
    assert!(got.is_empty() || got == chunk("aborted"), "{got:?}");
}

#[tokio::test]
async fn a_fault_over_http_2_resets_the_stream() {
    let upstream = H2Upstream::start().await;
    let endpoint = format!("endpoints: [\"{}\"], protocol: http2", upstream.url());
    let uses = [does("{ pass: 5 }, trap")];
    let gateway = TestGateway::start(&text(&endpoint, TERMS, &uses, "")).await;
    let serve = async {
        let mut exchange = upstream.accept().await.request().await;
        let body = exchange.request.body_mut();
        assert_eq!(within(body.data()).await.unwrap().unwrap(), "hello");
        assert!(within(body.data()).await.unwrap().is_err());
    };
    let (answer, ()) = tokio::join!(gateway.post("/x", "hello world"), serve);
    assert_eq!(answer.header("x-portcullis-error"), "policy-failed");
}

#[tokio::test]
async fn a_fault_before_the_first_byte_passes_the_body_as_it_is_where_the_policy_fails_open() {
    let upstream = MockService::start().await;
    let uses = [open("stream", &steps("{ call: 3 }, trap")), does("upper")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let request = passed(&gateway, &upstream, &with_length("hello")).await;
    assert_eq!(request.body, "HELLO");
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "stream", "r", "on-request-body", "trap"), 1);
}

#[tokio::test]
async fn trailers_of_an_empty_body_outlast_a_policy_that_fails_open() {
    let upstream = H2Upstream::start().await;
    let endpoint = format!("endpoints: [\"{}\"], protocol: http2", upstream.url());
    let uses = [open(
        "stream",
        &steps("{ read: 5 }, { set_trailers: [[x-sum, '6']] }, trap"),
    )];
    let gateway = TestGateway::start(&text(&endpoint, TERMS, &uses, "")).await;
    let mut client = RawConnection::connect(gateway.address).await;
    let sent = head("trailer: x-sum\r\ntransfer-encoding: chunked");
    client.send(&format!("{sent}0\r\nx-sum: 5\r\n\r\n")).await;
    let mut exchange = upstream.accept().await.request().await;
    let (body, trailers) = exchange.body().await;
    assert_eq!(
        (&*body, &trailers.unwrap()["x-sum"]),
        ("", &"5".parse().unwrap())
    );
    exchange.answer("ok");
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_clients_body_that_breaks_its_bounds_is_to_blame_before_the_policy() {
    for work in ["copy", "read_past_errors"] {
        let upstream = MockService::start().await;
        let circuit = "fault_circuit: { faults: 1, window: 1h, open_for: 1h }";
        let terms = format!("limits: {{ time: 30s }}, {circuit}");
        let uses = [does(work)];
        let gateway = gateway(&upstream.url(), &terms, &uses, "limits: { body: 10B }").await;
        for _ in 0..2 {
            let mut client = RawConnection::connect(gateway.address).await;
            client.send(&chunked("0123456789abcdef")).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 413 "), "{work}: {head}");
        }
        assert!(
            upstream
                .requests()
                .iter()
                .all(|request| request.body.len() < 16)
        );
    }
}

#[tokio::test]
async fn a_body_that_stops_is_408() {
    let upstream = MockService::start().await;
    let config = text(
        &format!("endpoints: [\"{}\"]", upstream.url()),
        TERMS,
        &[does("copy")],
        "",
    );
    let config = format!("timeouts: {{ body_idle: 100ms }}\n{config}");
    let gateway = TestGateway::start(&config).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&(head("content-length: 5") + "he")).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
}

#[tokio::test]
async fn each_attempt_has_what_the_hook_has_written_once() {
    let upstream = MockService::start().await;
    let retry = "{ use: retry, on_failure: closed, config: { backoff: { base: 1ms, cap: 1ms } } }";
    let uses = [does("upper, { write: '!' }"), retry.to_owned()];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let mut client = gateway.client().await;
    let answer = client.send(Method::PUT, "/flaky", &[], "hello").await;
    assert_eq!(answer.status, 200);
    let requests = upstream.requests_to("/flaky");
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == "HELLO!"));
    let labels = [("portcullis_phase", "on-request-body")];
    let page = gateway.metrics().await;
    let hooks = metric(&page, "portcullis_policy_duration_seconds_count", &labels);
    assert_eq!(hooks, 1.0);
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_last_one_was_left() {
    let upstream = MockService::start().await;
    upstream.script("/x", vec![Step::respond(503, ""), Step::respond(200, "")]);
    let retry = "{ use: retry, on_failure: closed, config: { backoff: { base: 1ms, cap: 1ms } } }";
    let uses = [does("upper"), retry.to_owned()];
    let route = "retry_non_idempotent: true";
    let gateway = gateway(&upstream.url(), TERMS, &uses, route).await;
    let body = "0123456789abcdef".repeat(2000);
    let request = passed(&gateway, &upstream, &with_length(&body)).await;
    assert!(request.body == body.to_uppercase().as_bytes());
}

#[tokio::test]
async fn the_mirror_gets_what_comes_out() {
    let trailers = head("trailer: x-sum\r\ntransfer-encoding: chunked")
        + &chunk("hello")
        + "0\r\nx-sum: 5\r\n\r\n";
    let failing = open("stream", &steps("trap"));
    for (used, sent, body) in [
        (does("upper"), with_length("hello"), "HELLO"),
        (does("upper"), trailers, "HELLO"),
        (failing, with_length("hello"), "hello"),
    ] {
        let upstream = MockService::start().await;
        let route = "mirror: { upstream: shadow }";
        let gateway = gateway(&upstream.url(), TERMS, &[used], route).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(&sent).await;
        client.message().await;
        copied(&upstream, body).await;
    }
}

async fn copied(upstream: &MockService, body: &str) {
    let marked = |request: &&RecordedRequest| request.headers.contains_key("x-portcullis-mirror");
    eventually("the copy has its body", async || {
        let requests = upstream.requests();
        requests
            .iter()
            .find(marked)
            .is_some_and(|copy| copy.body == body)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_attempt() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("copy")], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&(head("transfer-encoding: chunked") + &chunk("hello")))
        .await;
    within(upstream.wait_for_requests(1)).await;
    drop(client);
    freed_within_a_second(&upstream).await;
}

#[tokio::test]
async fn a_hook_that_writes_for_ever_ends_soon_after_the_answer() {
    let upstream = RawUpstream::start().await;
    let endpoint = format!("endpoints: [\"{}\"]", upstream.url());
    let config = text(&endpoint, TERMS, &[does("write_for_ever")], "");
    let config = format!("timeouts: {{ body_idle: 100ms }}\n{config}");
    let gateway = TestGateway::start(&config).await;
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service
            .send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly")
            .await;
        // It reads on as long as something comes.
        let mut bytes = 0;
        loop {
            match service.some().await {
                0 => return bytes,
                some => bytes += some,
            }
        }
    };
    let (answer, bytes) = tokio::join!(gateway.post("/x", "hello"), within(serve));
    assert_eq!(answer.text(), "early");
    assert!(bytes > 0);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_when_a_policy_reads() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("upper")], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&head("expect: 100-continue\r\ncontent-length: 5"))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    client.send("hello").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "x-portcullis-error"), None);
    assert_eq!(upstream.requests()[0].body, "HELLO");
}

#[tokio::test]
async fn a_route_that_answers_itself_does_not_ask() {
    let stream = policy_on("stream", "fixtures/stream-probe", TERMS);
    let gateway = TestGateway::start(&format!(
        "
policies:
  {stream}
routes: [{{ name: r, respond: {{ status: 201, body: own }}, policies: [{}] }}]
",
        closed("stream", "{ request: [trap], response: [upper] }")
    ))
    .await;
    let answer = gateway.post("/x", "hello").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (201, "OWN".into()));
}
