//! Bodies of responses that pass through policies: what comes out, when, and what a policy that fails leaves.

use http::{HeaderMap, Method, Request, Version};
use mock_service::{MockService, Step};
use tokio::net::TcpStream;

use crate::policy_config::{closed, config, faults, open, policy_on};
use crate::support::http2::H2Upstream;
use crate::support::raw::{RawConnection, RawUpstream, RefusingAddress};
use crate::support::{Answer, TestGateway, metric, within};

const TERMS: &str = "limits: { time: 30s }";

/// One route `r` with these uses.
async fn gateway(url: &str, terms: &str, uses: &[String]) -> TestGateway {
    gateway_over(&format!("endpoints: [\"{url}\"]"), terms, uses).await
}

async fn gateway_over(upstream: &str, terms: &str, uses: &[String]) -> TestGateway {
    TestGateway::start(&text(upstream, terms, uses)).await
}

fn text(upstream: &str, terms: &str, uses: &[String]) -> String {
    let stream = policy_on("stream", "fixtures/stream-probe", terms);
    let probe = policy_on("probe", "fixtures/probe", TERMS);
    let log = "grants: { metrics: {} }, limits: { time: 30s }";
    let log = policy_on("log", "fixtures/log-probe", log);
    format!(
        "
upstreams: {{ api: {{ {upstream} }} }}
policies:
  {stream}
  {probe}
  {log}
routes: [{{ name: r, upstream: api, upgrades: [websocket], policies: [{}] }}]
",
        uses.join(", ")
    )
}

fn steps(steps: &str) -> String {
    format!("{{ response: [{steps}] }}")
}

fn does(work: &str) -> String {
    closed("stream", &steps(work))
}

fn chunked(parts: &[&str]) -> String {
    let mut text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for part in parts {
        text += &format!("{:x}\r\n{part}\r\n", part.len());
    }
    text
}

fn with_length(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the client gets of an upstream that writes this.
async fn answered(gateway: &TestGateway, upstream: &RawUpstream, written: &str) -> Answer {
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service.send(written).await;
        service
    };
    let (answer, _service) = tokio::join!(gateway.get("/x"), serve);
    answer
}

/// What a client of HTTP/2 gets: the body up to its end or its break, the trailers, and whether it ended.
async fn over_h2(
    gateway: &TestGateway,
    path: &str,
) -> (HeaderMap, String, Option<HeaderMap>, bool) {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri(format!("http://a{path}"));
    let request = request.header("te", "trailers").version(Version::HTTP_2);
    let mut ready = within(client.ready()).await.unwrap();
    let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
    let (head, mut body) = within(response).await.unwrap().into_parts();
    let mut text = String::new();
    while let Some(data) = within(body.data()).await {
        let Ok(data) = data else {
            return (head.headers, text, None, false);
        };
        text += std::str::from_utf8(&data).unwrap();
        let _ = body.flow_control().release_capacity(data.len());
    }
    match within(body.trailers()).await {
        Ok(trailers) => (head.headers, text, trailers, true),
        Err(_) => (head.headers, text, None, false),
    }
}

#[tokio::test]
async fn what_a_policy_writes_is_what_the_client_gets() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("upper")]).await;
    let chunks = chunked(&["hello ", "world"]) + "0\r\n\r\n";
    for written in [with_length("hello world"), chunks] {
        let answer = answered(&gateway, &upstream, &written).await;
        assert_eq!(answer.text(), "HELLO WORLD");
        assert_eq!(answer.header("content-length"), "");
        assert_eq!(answer.header("transfer-encoding"), "chunked");
    }
    let upstream = MockService::start().await;
    upstream.script("/x", vec![Step::respond(200, "hello")]);
    let gateway = self::gateway(&upstream.url(), TERMS, &[does("upper")]).await;
    let (head, body, _, ended) = over_h2(&gateway, "/x").await;
    assert_eq!((&*body, ended), ("HELLO", true));
    assert!(!head.contains_key("content-length"), "{head:?}");
}

#[tokio::test]
async fn the_last_policy_reads_first_and_the_first_writes_last() {
    let upstream = RawUpstream::start().await;
    let wraps = |name: &str| does(&format!("{{ write: '{name}(' }}, copy, {{ write: ')' }}"));
    let uses = [wraps("a"), does("upper"), wraps("b")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    let answer = answered(&gateway, &upstream, &with_length("hello")).await;
    assert_eq!(answer.text(), "a(B(HELLO))");
}

#[tokio::test]
async fn each_event_passes_two_policies_before_the_next_is_there() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("copy"), does("upper")]).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(&chunked(&["one"])).await;
    client.head().await;
    assert_eq!(client.chunk().await, "ONE");
    service.send("3\r\ntwo\r\n").await;
    assert_eq!(client.chunk().await, "TWO");
    service.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn each_event_passes_to_a_client_of_http_2_before_the_next_is_there() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("upper")]).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://a/x").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(&chunked(&["one"])).await;
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "ONE");
    service.send("3\r\ntwo\r\n").await;
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "TWO");
}

#[tokio::test]
async fn what_a_policy_does_not_read_is_not_sent() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(
        &upstream.url(),
        TERMS,
        &[does("{ pass: 2 }, { write: '!' }")],
    )
    .await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let serve = async {
            let mut service = upstream.accept().await;
            service.head().await;
            service.send(&chunked(&["hello"])).await;
            // It sends no end, and nobody waits for one.
            assert_eq!(service.rest().await, "");
        };
        let request = client.send(Method::GET, "/x", &[], "");
        let (answer, ()) = tokio::join!(request, serve);
        assert_eq!(answer.text(), "he!");
    }
}

#[tokio::test]
async fn a_policy_may_write_more_than_it_reads_and_after_the_end() {
    let upstream = MockService::start().await;
    let work = "{ write_kib: 1024 }, count, { write: ' in all' }";
    let gateway = gateway(&upstream.url(), TERMS, &[does(work)]).await;
    let answer = gateway.get("/bytes/300000").await;
    assert_eq!(answer.body.len(), (1 << 20) + "300000 bytes in all".len());
    assert!(answer.body.ends_with(b"w300000 bytes in all"));
}

#[tokio::test]
async fn trailers_pass_are_seen_and_are_replaced() {
    for (work, body, trailers) in [
        ("copy", "hello", "0\r\nx-sum: 5\r\n\r\n"),
        (
            "copy, tell_trailers",
            "hellox-sum=5;",
            "0\r\nx-sum: 5\r\n\r\n",
        ),
        (
            "copy, { set_trailers: [[x-sum, '6']] }",
            "hello",
            "0\r\nx-sum: 6\r\n\r\n",
        ),
        ("copy, { set_trailers: [] }", "hello", "0\r\n\r\n"),
        ("{ pass: 8 }", "hello", "0\r\n\r\n"),
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway(&upstream.url(), TERMS, &[does(work)]).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /x HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n")
            .await;
        let mut service = upstream.accept().await;
        service.head().await;
        service
            .send(
                "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n",
            )
            .await;
        client.head().await;
        let mut came = String::new();
        while came.len() < body.len() {
            came += &client.chunk().await;
        }
        assert_eq!(came, body, "{work}");
        assert_eq!(client.exactly(trailers.len()).await, trailers, "{work}");
    }
}

#[tokio::test]
async fn a_policy_sets_trailers_over_http_2_and_none_that_belong_in_a_head() {
    let upstream = H2Upstream::start().await;
    let endpoint = format!("endpoints: [\"{}\"], protocol: http2", upstream.url());
    let work =
        "copy, { set_trailers: [[content-length, '6']] }, { set_trailers: [[grpc-status, '0']] }";
    let gateway = gateway_over(&endpoint, TERMS, &[does(work)]).await;
    let serve = async {
        upstream.accept().await.request().await.answer("hello");
    };
    let ((_, body, trailers, ended), ()) = tokio::join!(over_h2(&gateway, "/x"), serve);
    assert_eq!(body, "helloforbidden: content-length");
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    assert!(ended);
}

#[tokio::test]
async fn a_response_that_has_no_body_is_not_streamed() {
    let upstream = MockService::start().await;
    upstream.script("/cached", vec![Step::respond(304, "")]);
    upstream.script("/empty", vec![Step::respond(200, "")]);
    let gateway = gateway(&upstream.url(), TERMS, &[does("{ write: new }")]).await;
    for (method, path, status, length) in [
        // Whatever it would be, it is another length.
        (Method::HEAD, "/bytes/1000", 200, ""),
        (Method::GET, "/status/204", 204, ""),
        (Method::GET, "/cached", 304, ""),
        (Method::GET, "/empty", 200, "0"),
    ] {
        let mut client = gateway.client().await;
        let answer = client.send(method, path, &[], "").await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.text(),
                answer.header("content-length")
            ),
            (status, String::new(), length),
            "{path}"
        );
        assert_eq!(
            client.send(Method::GET, "/bytes/1", &[], "").await.text(),
            "new"
        );
    }
}

#[tokio::test]
async fn a_tunnel_is_not_streamed() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[does("upper")]).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.send("ping").await;
    assert_eq!(service.exactly(4).await, "ping");
    service.send("pong").await;
    assert_eq!(client.exactly(4).await, "pong");
}

#[tokio::test]
async fn answers_of_policies_and_of_the_gateway_pass_the_policies_before() {
    let refusing = RefusingAddress::take();
    let uses = [
        does("upper, { write: '!' }"),
        closed("probe", "{ respond: 202 }"),
        does("{ write: never }"),
    ];
    let policys = gateway(&refusing.url(), TERMS, &uses).await;
    let answer = policys.get("/x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (202, "PROBE RESPONDS!".into())
    );
    let own = gateway(&refusing.url(), TERMS, &uses[..1]).await;
    let answer = own.get("/x").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer
            .text()
            .contains("\"CODE\":\"UPSTREAM-CONNECT-REFUSED\""),
        "{}",
        answer.text()
    );
    // Which is no message of gRPC.
    let grpc = [("content-type", "application/grpc")];
    let answer = own.client().await.send(Method::POST, "/x", &grpc, "").await;
    assert_eq!((answer.header("grpc-status"), answer.body.len()), ("14", 0));
}

#[tokio::test]
async fn a_body_that_was_read_and_replaced_is_what_streams() {
    let upstream = RawUpstream::start().await;
    let uses = [
        closed("probe", "{ response_body: { read: 8, replace: other } }"),
        does("upper"),
    ];
    let replaced = gateway(&upstream.url(), TERMS, &uses).await;
    let answer = answered(&replaced, &upstream, &with_length("hello")).await;
    assert_eq!(
        (answer.text(), answer.header("x-probe-body")),
        ("OTHER".into(), "5:hello")
    );
    let uses = [
        closed("probe", "{ response_body: { read: 4 } }"),
        does("upper"),
    ];
    let read = gateway(&upstream.url(), TERMS, &uses).await;
    let answer = answered(&read, &upstream, &with_length("hello")).await;
    assert_eq!(
        (answer.text(), answer.header("x-probe-body")),
        ("HELLO".into(), "too-large")
    );
}

#[tokio::test]
async fn the_hook_sees_the_exchange_and_can_edit_it_no_more() {
    let upstream = MockService::start().await;
    upstream.script(
        "/x",
        vec![Step::respond(201, "").with_header("x-told", "response")],
    );
    let used = closed("stream", "{ response: [tell], state: kept }");
    let gateway = gateway(&upstream.url(), TERMS, &[used]).await;
    upstream.script(
        "/x",
        vec![Step::respond(201, "hello").with_header("x-told", "response")],
    );
    let answer = gateway.get_with("/x", &[("x-told", "request")]).await;
    assert_eq!(
        answer.text(),
        "GET request; state kept; edit edit refused: too late; read taken; replace edit refused: too late; \
         response 201 response; edit edit refused: too late; read not-granted\n"
    );
    assert_eq!(answer.header("x-late"), "");
}

#[tokio::test]
async fn a_fault_breaks_the_body_off_and_never_ends_it() {
    for (used, kind) in [
        (does("{ pass: 5 }, trap"), "trap"),
        (does("{ pass: 5 }, { fail: why }"), "error"),
        (does("{ pass: 5 }, spin"), "deadline"),
        (does("{ pass: 5 }, read_nothing_for_ever"), "limit"),
        (does("{ pass: 5 }, { call: 200 }"), "limit"),
        (does("{ pass: 5 }, hoard"), "memory"),
        // What it has taken can't be given back.
        (open("stream", &steps("{ pass: 5 }, trap")), "trap"),
    ] {
        let upstream = MockService::start().await;
        let terms = "limits: { time: 1s, host_calls: 100, memory: 4MiB }";
        let gateway = gateway(&upstream.url(), terms, &[used]).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /bytes/5000000 HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.chunk().await, "xxxxx", "{kind}");
        assert_eq!(client.rest().await, "", "{kind}");
        let (_, body, _, ended) = over_h2(&gateway, "/bytes/5000000").await;
        assert_eq!((&*body, ended), ("xxxxx", false), "{kind}");
        let page = gateway.metrics().await;
        assert_eq!(
            faults(&page, "stream", "r", "on-response-body", kind),
            2,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_policy_behind_one_that_fails_is_told_and_can_not_end_the_body() {
    let upstream = MockService::start().await;
    let uses = [does("read_past_errors"), does("{ pass: 5 }, trap")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    let (_, body, _, ended) = over_h2(&gateway, "/bytes/100").await;
    assert_eq!((&*body, ended), ("aborted", false));
}

#[tokio::test]
async fn the_log_says_that_a_policy_broke_the_response_off() {
    let upstream = MockService::start().await;
    let uses = [closed("log", "{}"), does("{ pass: 5 }, trap")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    assert!(!over_h2(&gateway, "/bytes/100").await.3);
    let told = [
        ("ended", "policy-failed"),
        ("status", "200"),
        ("response_bytes", "5"),
    ];
    gateway
        .wait_for_metric("policy_log_probe_total", &told, 1.0)
        .await;
}

#[tokio::test]
async fn a_fault_before_the_first_byte_breaks_off_or_passes_the_body_as_it_is() {
    let upstream = MockService::start().await;
    let failing = steps("{ call: 3 }, trap");
    let broken = gateway(&upstream.url(), TERMS, &[closed("stream", &failing)]).await;
    let (_, body, _, ended) = over_h2(&broken, "/bytes/1000").await;
    assert_eq!((&*body, ended), ("", false));
    let opened = gateway(
        &upstream.url(),
        TERMS,
        &[open("stream", &failing), does("upper")],
    )
    .await;
    assert_eq!(opened.get("/bytes/1000").await.text(), "X".repeat(1000));
    let page = opened.metrics().await;
    assert_eq!(faults(&page, "stream", "r", "on-response-body", "trap"), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_end_whatever_the_policy_does() {
    for (work, body) in [("copy", "0123456789"), ("read_past_errors", "aborted")] {
        let upstream = MockService::start().await;
        let gateway = gateway(&upstream.url(), TERMS, &[does(work)]).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /truncate HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        client.head().await;
        assert_eq!(client.chunk().await, body);
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn waiting_for_a_peer_takes_no_time_of_the_policy() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), "limits: { time: 300ms }", &[does("copy")]).await;
    // Each of the waits alone is longer.
    let answer = gateway.get("/stream/3?interval_ms=400").await;
    assert_eq!(answer.text().lines().count(), 3, "{}", answer.text());
    let labels = [("portcullis_phase", "on-response-body")];
    gateway
        .wait_for_metric("portcullis_policy_duration_seconds_count", &labels, 1.0)
        .await;
    let page = gateway.metrics().await;
    let seconds = metric(&page, "portcullis_policy_duration_seconds_sum", &labels);
    assert!(seconds < 0.8, "{seconds}");
}

#[tokio::test]
async fn host_calls_count_from_one_step_of_the_body_to_the_next() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, host_calls: 10 }";
    let gateway = gateway(&upstream.url(), terms, &[does("{ byte_by_byte: 1000 }")]).await;
    assert_eq!(gateway.get("/bytes/1000").await.text(), "x".repeat(1000));
}

#[tokio::test]
async fn a_hook_may_send_requests_amid_a_body() {
    let upstream = MockService::start().await;
    upstream.script("/side", vec![Step::respond(200, "[side]")]);
    let terms = "grants: { outcall: { upstreams: [api] } }, limits: { time: 30s, outcalls: 1 }";
    let work = "{ pass: 2 }, { outcall: /side }, { pass: 2 }, { outcall: /side }";
    let gateway = gateway(&upstream.url(), terms, &[does(work)]).await;
    let answer = gateway.get("/bytes/5000").await;
    assert_eq!(
        answer.text(),
        "xx[side]xxoutcall: denied: limits.outcalls is 1"
    );
}

#[tokio::test]
async fn the_time_of_a_request_of_its_own_counts() {
    let upstream = MockService::start().await;
    upstream.script("/side", vec![Step::Hang]);
    let terms = "grants: { outcall: { upstreams: [api] } }, limits: { time: 500ms }";
    let work = "{ pass: 2 }, { outcall: /side }, copy";
    let gateway = gateway(&upstream.url(), terms, &[does(work)]).await;
    let (_, body, _, ended) = over_h2(&gateway, "/bytes/5000").await;
    assert_eq!((&*body, ended), ("xx", false));
    let page = gateway.metrics().await;
    assert_eq!(
        faults(&page, "stream", "r", "on-response-body", "deadline"),
        1
    );
}

#[tokio::test]
async fn instances_are_used_again_where_they_may_be() {
    let upstream = MockService::start().await;
    let terms = "isolation: pooled, limits: { time: 30s }";
    let uses = [does("upper"), does("{ pass: 1 }, trap")];
    let gateway = gateway(&upstream.url(), terms, &uses[..1]).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/bytes/10").await.text(), "XXXXXXXXXX");
    }
    let failing = self::gateway(&upstream.url(), terms, &uses[1..]).await;
    for _ in 0..20 {
        let (_, body, _, ended) = over_h2(&failing, "/bytes/10").await;
        assert_eq!((&*body, ended), ("x", false));
    }
}

#[tokio::test]
async fn with_an_open_circuit_the_head_has_not_gone_yet() {
    let upstream = MockService::start().await;
    let terms = "fault_circuit: { faults: 1, open_for: 10m }, limits: { time: 30s }";
    let failing = steps("trap");
    let closing = gateway(&upstream.url(), terms, &[closed("stream", &failing)]).await;
    assert!(!over_h2(&closing, "/bytes/10").await.3);
    let answer = closing.get("/bytes/10").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-portcullis-error")),
        (503, "policy-circuit-open")
    );
    let opening = gateway(&upstream.url(), terms, &[open("stream", &failing)]).await;
    for _ in 0..2 {
        let answer = opening.get("/bytes/10").await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 10));
    }
}

#[tokio::test]
async fn without_a_grant_of_bodies_the_policy_is_refused() {
    let upstream = MockService::start().await;
    let endpoint = format!("endpoints: [\"{}\"]", upstream.url());
    let config = text(&endpoint, "limits: { body: 0B }", &[does("copy")]);
    let refusal = TestGateway::refusal(&config).await;
    assert!(
        refusal.contains(
            "exports on-request-body, and limits.body is 0, which grants it no body; raise it"
        ),
        "{refusal}"
    );
}

#[tokio::test]
async fn the_example_hides_numbers_in_texts() {
    let upstream = MockService::start().await;
    let text =
        |kind: &str| Step::respond(200, "call 5551234, or 12").with_header("content-type", kind);
    upstream.script("/text", vec![text("text/plain")]);
    upstream.script("/other", vec![text("application/json")]);
    upstream.script(
        "/zip",
        vec![text("text/plain").with_header("content-encoding", "gzip")],
    );
    let policies = [policy_on("mask", "mask-digits", TERMS)];
    let uses = vec![closed("mask", "{ shown: 3 }")];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &[("r", uses)])).await;
    assert_eq!(gateway.get("/r/text").await.text(), "call 555****, or 12");
    assert_eq!(gateway.get("/r/other").await.text(), "call 5551234, or 12");
    assert!(!over_h2(&gateway, "/r/zip").await.3);
}
