//! Policies that read a request's body and put another in its place.

use bytes::Bytes;
use http::{Method, Request, Version};
use mock_service::{MockService, RecordedRequest};
use tokio::net::TcpStream;

use crate::policy_config::{closed, faults, open, policy_on};
use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, eventually, within};

const TERMS: &str = "limits: { time: 30s, body: 8B }";

/// One route `r` with these uses of the probe.
async fn gateway(url: &str, terms: &str, uses: &[String], route: &str) -> TestGateway {
    let probe = policy_on("probe", "fixtures/probe", terms);
    TestGateway::start(&format!(
        "
upstreams: {{ api: {{ endpoints: [\"{url}\"] }}, shadow: {{ endpoints: [\"{url}\"] }} }}
policies:
  {probe}
  retry: {{ component: 'builtin:retry' }}
routes: [{{ name: r, upstream: api, policies: [{}], {route} }}]
",
        uses.join(", ")
    ))
    .await
}

fn reads(work: &str) -> String {
    closed("probe", &format!("{{ request_body: {{ {work} }} }}"))
}

fn head(framing: &str) -> String {
    format!("POST /x HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    let (first, second) = body.split_at(body.len() / 2);
    let mut text = head("transfer-encoding: chunked");
    for chunk in [first, second].iter().filter(|chunk| !chunk.is_empty()) {
        text += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    text + "0\r\n\r\n"
}

fn with_length(body: &str) -> String {
    head(&format!("content-length: {}", body.len())) + body
}

fn notes(request: &RecordedRequest) -> Vec<String> {
    let values = request.headers.get_all("x-probe-body").iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

/// Sends over HTTP/1.1 and returns what the upstream has got.
async fn passed(gateway: &TestGateway, upstream: &MockService, sent: &str) -> RecordedRequest {
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(sent).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    upstream.requests().last().unwrap().clone()
}

/// The same over HTTP/2, with and without a length.
async fn passed_over_h2(
    gateway: &TestGateway,
    upstream: &MockService,
    body: &str,
    length: bool,
) -> RecordedRequest {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri("http://a/x");
    let mut request = request.version(Version::HTTP_2).body(()).unwrap();
    if length {
        let headers = request.headers_mut();
        headers.insert("content-length", body.len().into());
    }
    let mut ready = within(client.ready()).await.unwrap();
    let (response, mut stream) = ready.send_request(request, false).unwrap();
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let half = bytes.len() / 2;
    stream.send_data(bytes.slice(..half), false).unwrap();
    stream.send_data(bytes.slice(half..), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    upstream.requests().last().unwrap().clone()
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_arrives_whole_in_any_case() {
    let upstream = MockService::start().await;
    let uses = [reads("read: 1000"), reads("read: 4, times: 2")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let table = [
        ("1234", ["4:1234"; 3]),
        ("12345", ["5:12345", "too-large", "too-large"]),
        ("12345678", ["8:12345678", "too-large", "too-large"]),
        ("123456789", ["too-large"; 3]),
    ];
    for (body, expected) in table {
        let requests = [
            passed(&gateway, &upstream, &with_length(body)).await,
            passed(&gateway, &upstream, &chunked(body)).await,
            passed_over_h2(&gateway, &upstream, body, true).await,
            passed_over_h2(&gateway, &upstream, body, false).await,
        ];
        for (way, request) in requests.iter().enumerate() {
            assert_eq!(request.body, body, "{way}");
            assert_eq!(notes(request), expected, "{way}");
        }
        let length = body.len().to_string();
        assert_eq!(requests[0].headers["content-length"], length);
        assert_eq!(requests[1].headers["transfer-encoding"], "chunked");
    }
}

#[tokio::test]
async fn a_body_of_many_chunks_beyond_the_limit_streams_on() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 64KiB }";
    let gateway = gateway(&upstream.url(), terms, &[reads("read: 1000000")], "").await;
    let body = "0123456789abcdef".repeat(1 << 17);
    let requests = [
        passed(&gateway, &upstream, &chunked(&body)).await,
        passed(&gateway, &upstream, &with_length(&body)).await,
    ];
    for request in requests {
        assert_eq!(notes(&request), ["too-large"]);
        assert!(request.body == body.as_bytes(), "{}", request.body.len());
    }
}

#[tokio::test]
async fn a_request_without_a_body_reads_as_empty() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[reads("read: 8")], "").await;
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let mut client = gateway.client().await;
        let answer = client.send(method.clone(), "/x", &[], "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            notes(upstream.requests().last().unwrap()),
            ["0:"],
            "{method}"
        );
    }
    let request = passed(&gateway, &upstream, &chunked("")).await;
    assert_eq!(
        (notes(&request), &*request.body),
        (vec!["0:".into()], &b""[..])
    );
}

#[tokio::test]
async fn a_replaced_body_is_what_later_policies_and_the_upstream_see() {
    let upstream = MockService::start().await;
    let uses = [
        reads("read: 8, times: 2"),
        reads("read: 8, replace: '123456'"),
        reads("read: 8"),
    ];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    for sent in [with_length("hello"), chunked("hello")] {
        let request = passed(&gateway, &upstream, &sent).await;
        assert_eq!(request.body, "123456");
        assert_eq!(
            notes(&request),
            ["5:hello", "5:hello", "5:hello", "6:123456"]
        );
        assert_eq!(request.headers["content-length"], "6");
        assert!(!request.headers.contains_key("transfer-encoding"));
    }
    let request = passed_over_h2(&gateway, &upstream, "hello", false).await;
    assert_eq!(request.body, "123456");
}

#[tokio::test]
async fn a_body_can_be_given_taken_away_and_replaced_unread() {
    let upstream = MockService::start().await;
    let giving = gateway(&upstream.url(), TERMS, &[reads("replace: new")], "").await;
    let get = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let request = passed(&giving, &upstream, get).await;
    assert_eq!(
        (&*request.body, &request.headers["content-length"]),
        (&b"new"[..], &"3".parse().unwrap())
    );
    // More than would be read.
    let request = passed(&giving, &upstream, &chunked("0123456789")).await;
    assert_eq!(request.body, "new");
    let taking = gateway(&upstream.url(), TERMS, &[reads("replace: ''")], "").await;
    let request = passed(&taking, &upstream, &chunked("hello")).await;
    assert_eq!(
        (&*request.body, &request.headers["content-length"]),
        (&b""[..], &"0".parse().unwrap())
    );
}

#[tokio::test]
async fn trailers_follow_a_body_that_was_read_and_not_one_that_was_replaced() {
    for (work, body, trailers) in [
        ("read: 8", "5\r\nhello\r\n", "0\r\nx-sum: 5\r\n\r\n"),
        ("read: 8, replace: other", "other", ""),
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway(&upstream.url(), TERMS, &[reads(work)], "").await;
        let mut client = RawConnection::connect(gateway.address).await;
        let sent = head("trailer: x-sum\r\ntransfer-encoding: chunked");
        client
            .send(&format!(
                "{sent}2\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 5\r\n\r\n"
            ))
            .await;
        let mut service = upstream.accept().await;
        let head = service.head().await;
        let rest = format!("{body}{trailers}");
        assert_eq!(service.exactly(rest.len()).await, rest);
        assert_eq!(
            field(&head, "trailer").is_some(),
            !trailers.is_empty(),
            "{head}"
        );
        service
            .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        client.head().await;
    }
}

#[tokio::test]
async fn a_body_beyond_the_routes_limit_is_413_and_aborted_for_the_guest() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 1KiB }";
    let uses = [
        reads("read: 1000, fail_on: aborted"),
        reads("replace: never"),
    ];
    let gateway = gateway(&upstream.url(), terms, &uses, "limits: { body: 10B }").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&chunked("0123456789abcdef")).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(field(&head, "x-portcullis-error"), Some("body-too-large"));
    assert_eq!(upstream.requests().len(), 0);
    // The guest has failed since it was told `aborted`.
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "probe", "r", "on-request", "error"), 1);
}

#[tokio::test]
async fn a_gateways_own_answer_comes_before_the_policys() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 1KiB }";
    let answers = "{ respond: 202, request_body: { read: 1000, replace: new } }";
    let uses = [closed("probe", answers)];
    let gateway = gateway(&upstream.url(), terms, &uses, "limits: { body: 10B }").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&chunked("0123456789abcdef")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_aborted_for_the_guest() {
    let upstream = MockService::start().await;
    let uses = [reads("read: 8, fail_on: aborted")];
    let probe = policy_on("probe", "fixtures/probe", TERMS);
    let gateway = TestGateway::start(&format!(
        "timeouts: {{ body_idle: 100ms }}\nupstreams: {{ api: {{ endpoints: [\"{}\"] }} }}\n\
         policies:\n  {probe}\nroutes: [{{ name: r, upstream: api, policies: [{}] }}]\n",
        upstream.url(),
        uses[0]
    ))
    .await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&(head("content-length: 5") + "he")).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "probe", "r", "on-request", "error"), 1);
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait() {
    let upstream = MockService::start().await;
    let uses = [reads("read: 8, fail_on: aborted")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&(head("content-length: 5") + "he")).await;
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 1.0)
        .await;
    drop(client);
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn the_hooks_time_covers_its_waiting() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 200ms, body: 8B }";
    let gateway = gateway(&upstream.url(), terms, &[reads("read: 8")], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&(head("content-length: 5") + "he")).await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field(&head, "x-portcullis-error"), Some("policy-failed"));
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "probe", "r", "on-request", "deadline"), 1);
}

#[tokio::test]
async fn a_policy_that_fails_open_amid_its_reading_leaves_the_body_whole() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 200ms, body: 8B }";
    let uses = [open("probe", "{ request_body: { read: 8 } }")];
    let gateway = gateway(&upstream.url(), terms, &uses, "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(&(head("content-length: 5") + "he")).await;
    eventually("the hook has run out of time", async || {
        faults(
            &gateway.metrics().await,
            "probe",
            "r",
            "on-request",
            "deadline",
        ) == 1
    })
    .await;
    client.send("llo").await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(upstream.requests()[0].body, "hello");
}

#[tokio::test]
async fn a_trap_after_reading_and_replacing_leaves_the_body_as_it_was() {
    let upstream = MockService::start().await;
    let trap = "{ request_body: { read: 8, replace: gone, trap: true } }";
    let uses = [open("probe", trap), reads("read: 8")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    for sent in [with_length("hello"), chunked("hello")] {
        let request = passed(&gateway, &upstream, &sent).await;
        assert_eq!(request.body, "hello");
        assert_eq!(notes(&request), ["5:hello"]);
    }
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "probe", "r", "on-request", "trap"), 2);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_when_a_policy_reads() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[reads("read: 8")], "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(&head("expect: 100-continue\r\ncontent-length: 5"))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    client.send("hello").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(notes(&upstream.requests()[0]), ["5:hello"]);
}

#[tokio::test]
async fn clients_that_keep_their_bodies_back_do_not_open_a_policys_circuit() {
    let upstream = MockService::start().await;
    let circuit = "fault_circuit: { faults: 1, window: 1h, open_for: 1h }";
    let terms = format!("limits: {{ time: 200ms, body: 8B }}, {circuit}");
    let uses = [reads("read: 8, fail_on: aborted")];
    let route = "limits: { body: 10B }";
    let gateway = gateway(&upstream.url(), &terms, &uses, route).await;
    let too_slow = head("content-length: 5") + "he";
    for (sent, status) in [(too_slow, "503"), (chunked("0123456789abcdef"), "413")] {
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(&sent).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let request = passed(&gateway, &upstream, &with_length("hello")).await;
    assert_eq!(notes(&request), ["5:hello"]);
}

#[tokio::test]
async fn a_policy_that_has_read_and_answers_leaves_the_connection_usable() {
    let upstream = MockService::start().await;
    let uses = [closed(
        "probe",
        "{ respond: 202, request_body: { read: 8 } }",
    )];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    for _ in 0..2 {
        client.send(&chunked("hello")).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
        assert_eq!(body, "probe responds");
    }
}

#[tokio::test]
async fn the_mirror_sees_the_body_as_policies_have_left_it() {
    let sent = chunked("hello");
    for (work, body) in [
        ("read: 8", "hello"),
        ("replace: other", "other"),
        ("read: 2", "hello"),
    ] {
        let upstream = MockService::start().await;
        let gateway = gateway(
            &upstream.url(),
            TERMS,
            &[reads(work)],
            "mirror: { upstream: shadow }",
        )
        .await;
        let mut client = RawConnection::connect(gateway.address).await;
        client.send(&sent).await;
        client.message().await;
        within(upstream.wait_for_requests(2)).await;
        let marked =
            |request: &&RecordedRequest| request.headers.contains_key("x-portcullis-mirror");
        eventually("the copy has its body", async || {
            let requests = upstream.requests();
            requests
                .iter()
                .find(marked)
                .is_some_and(|copy| copy.body == body)
        })
        .await;
    }
}

#[tokio::test]
async fn each_attempt_has_the_body_that_a_policy_has_given() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 1MiB }";
    let retry = "{ use: retry, on_failure: closed, config: { backoff: { base: 1ms, cap: 1ms } } }";
    let uses = [reads("replace_bytes: 300000"), retry.to_owned()];
    let gateway = gateway(&upstream.url(), terms, &uses, "replay_buffer: 1KiB").await;
    let mut client = gateway.client().await;
    let answer = client.send(Method::PUT, "/flaky", &[], "hello").await;
    assert_eq!(answer.status, 200);
    let requests = upstream.requests_to("/flaky");
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.body == "r".repeat(300_000))
    );
}

#[tokio::test]
async fn without_a_grant_there_is_no_body() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 0B }";
    let uses = [reads("read: 8, replace: new")];
    let refusing = gateway(&upstream.url(), terms, &uses, "").await;
    let request = passed(&refusing, &upstream, &chunked("hello")).await;
    let refusal = "edit refused: forbidden: no body: limits.body of the policy is 0";
    assert_eq!(notes(&request), ["not-granted", refusal]);
    assert_eq!(request.body, "hello");
    let uses = [reads("replace: '123456789'")];
    let bounding = gateway(&upstream.url(), TERMS, &uses, "").await;
    let request = passed(&bounding, &upstream, &chunked("hello")).await;
    let refusal = "edit refused: invalid: a body of 9 bytes: limits.body of the policy is 8";
    assert_eq!(
        (notes(&request), &*request.body),
        (vec![refusal.into()], &b"hello"[..])
    );
}

#[tokio::test]
async fn a_request_that_has_gone_can_be_neither_read_nor_replaced() {
    let upstream = MockService::start().await;
    let uses = [closed("probe", "{ late_body: { read: 8, replace: new } }")];
    let gateway = gateway(&upstream.url(), TERMS, &uses, "").await;
    let answer = gateway.post("/x", "hello").await;
    let late: Vec<_> = answer.headers.get_all("x-probe-late").iter().collect();
    assert_eq!(late, ["taken", "edit refused: too late"]);
}

#[tokio::test]
async fn a_body_larger_than_one_call_may_bring_otherwise_is_replaced() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, memory: 128MiB, body: 8MiB }";
    let uses = [
        reads("read: 8388608, replace_bytes: 8388608"),
        reads("read: 8388608"),
    ];
    let gateway = gateway(&upstream.url(), terms, &uses, "").await;
    let request = passed(&gateway, &upstream, &with_length(&"s".repeat(8 << 20))).await;
    assert_eq!(
        notes(&request),
        ["8388608:ssssssssssssssss", "8388608:rrrrrrrrrrrrrrrr"]
    );
    assert_eq!(request.body.len(), 8 << 20);
}
