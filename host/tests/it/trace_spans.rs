//! Traces: which spans a request leaves with the collector, what they say, and how they hang together.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use mock_service::{MockService, Step};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::policy_config::{closed, open, policy, policy_on};
use crate::support::collector::{Collector, Speaks, attribute, attributes};
use crate::support::peers::{Peer, run_script};
use crate::support::raw::{RawConnection, RawUpstream, RefusingAddress, field};
use crate::support::redis::RedisServer;
use crate::support::{TestGateway, eventually};

const ALL: &str = "tracing: { sample: 1 }\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<Span> {
    let of_kind = spans.iter().filter(|span| span.kind() == kind);
    let mut spans: Vec<Span> = of_kind.cloned().collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

fn the_server_span(spans: &[Span]) -> Span {
    let servers = of_kind(spans, SpanKind::Server);
    assert_eq!(servers.len(), 1, "{servers:#?}");
    servers[0].clone()
}

fn took(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
}

fn is_error(span: &Span) -> bool {
    let status = span.status.as_ref();
    status.is_some_and(|status| status.code() == StatusCode::Error)
}

/// The attributes that are asked for, and nothing of the others.
fn chosen(span: &Span, keys: &[&str]) -> Vec<String> {
    let values = keys.iter().map(|key| attribute(span, key));
    values.map(Option::unwrap_or_default).collect()
}

/// A gateway with one route `r` to `upstream`, which traces everything.
async fn traced(collector: &Collector, upstream: &str, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "{}{ALL}upstreams: {{ u: {{ endpoints: [\"{upstream}\"] }} }}\nroutes: [{{ name: r, upstream: u{keys} }}]",
        collector.config("")
    ))
    .await
}

/// The limit's state is in a Redis of its own; the second of two requests is too many, until it is not any more.
#[tokio::test]
async fn a_request_that_was_limited_then_allowed_and_retried_is_one_tree() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let collector = Collector::start(Speaks::Grpc).await;
    upstream.script(
        "/x",
        vec![Step::Status(200), Step::Status(503), Step::Status(200)],
    );
    let gateway = TestGateway::start(&format!(
        "
{}tracing: {{ sample: 0 }}
trusted_proxies: [127.0.0.0/8]
redis: {{ main: {{ url: '{}', deadline: 1s }} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit:
    component: builtin:rate-limit
    grants: {{ redis: {{ binding: main, prefix: 'rl:', scripts: true }} }}
    limits: {{ time: 5s }}
  retry: {{ component: builtin:retry, limits: {{ time: 5s }} }}
routes:
  - name: shop
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: token, key: {{ header: x-api-key }}, rate: 1, per: 2s, burst: 1 }}] }} }}
      - {{ use: retry, on_failure: open, config: {{ backoff: {{ base: 1ms, cap: 1ms }} }} }}
",
        collector.config(""),
        redis.url(),
        upstream.url()
    ))
    .await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let fields = [
        ("x-api-key", "k"),
        ("traceparent", &*parent),
        ("tracestate", "congo=t61rcWkgMzE"),
        ("user-agent", "test/1"),
        ("x-forwarded-for", "192.0.2.9"),
    ];
    let mut client = gateway.client().await;
    let ask = "/x?a=1&token=geheim";
    assert_eq!(client.send(Method::GET, ask, &fields, "").await.status, 200);
    // Two seconds are long enough for the second request, however busy the machine is.
    assert_eq!(client.send(Method::GET, ask, &fields, "").await.status, 429);
    let mut answers = vec![429];
    eventually("the limit lets it pass", async || {
        let answer = client.send(Method::GET, ask, &fields, "").await;
        answers.push(answer.status.as_u16());
        answer.status == 200
    })
    .await;
    let last = || {
        let spans = collector.spans();
        let servers = of_kind(&spans, SpanKind::Server);
        (servers.len() == answers.len() + 1).then(|| servers.last().cloned())?
    };
    eventually("all have left their spans", async || last().is_some()).await;
    let spans = collector.spans();
    let trace_id = TRACE.to_owned();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace_id));
    assert!(!format!("{spans:?}").contains("geheim"));

    // The one that was too many: a 429 is no error of the server.
    let limited = &of_kind(&spans, SpanKind::Server)[1];
    assert_eq!(
        attribute(limited, "http.response.status_code").unwrap(),
        "429"
    );
    assert!(!is_error(limited) && attribute(limited, "error.type").is_none());
    let below: Vec<&Span> = spans
        .iter()
        .filter(|span| span.parent_span_id == limited.span_id)
        .collect();
    let said = below
        .iter()
        .find(|span| span.name == "on-request limit")
        .unwrap();
    assert_eq!(attribute(said, "portcullis.verdict").unwrap(), "respond");

    // The one that was allowed.
    let server = last().unwrap();
    assert_eq!(
        (&*server.name, hex(&server.parent_span_id)),
        ("GET shop", CALLER.to_owned())
    );
    assert_eq!(
        (server.trace_state.as_str(), server.flags),
        ("congo=t61rcWkgMzE", 0x301)
    );
    let keys = [
        "http.request.method",
        "http.response.status_code",
        "url.scheme",
        "url.path",
        "url.query",
        "server.address",
        "client.address",
        "network.peer.address",
        "network.protocol.version",
        "user_agent.original",
        "portcullis.route",
        "portcullis.error",
    ];
    let expected = [
        "GET",
        "200",
        "http",
        "/x",
        "a=1&token=[redacted]",
        "127.0.0.1",
        "192.0.2.9",
        "127.0.0.1",
        "1.1",
        "test/1",
        "shop",
        "",
    ];
    assert_eq!(
        chosen(&server, &keys),
        expected,
        "{:#?}",
        attributes(&server)
    );
    let id = attribute(&server, "portcullis.request.id").unwrap();
    assert!(
        upstream
            .requests()
            .iter()
            .any(|request| request.headers["x-request-id"] == *id)
    );
    assert!(!is_error(&server));
    let below: Vec<Span> = spans
        .iter()
        .filter(|span| span.parent_span_id == server.span_id)
        .cloned()
        .collect();

    let attempts = of_kind(&below, SpanKind::Client);
    let keys = [
        "http.request.method",
        "http.response.status_code",
        "http.request.resend_count",
        "error.type",
        "server.address",
        "server.port",
        "url.full",
        "portcullis.upstream",
    ];
    let (port, url) = (
        upstream.address().port().to_string(),
        format!("{}/x?a=1&token=[redacted]", upstream.url()),
    );
    let expected = [
        ["GET", "503", "", "503", "127.0.0.1", &port, &url, "u"],
        ["GET", "200", "1", "", "127.0.0.1", &port, &url, "u"],
    ];
    let found: Vec<Vec<String>> = attempts.iter().map(|span| chosen(span, &keys)).collect();
    assert_eq!(found, expected);
    assert_eq!(
        attempts.iter().map(is_error).collect::<Vec<_>>(),
        [true, false]
    );
    // Each attempt has told the service its own name.
    let told: Vec<String> = upstream.requests()[1..]
        .iter()
        .map(|request| request.headers["traceparent"].to_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = attempts
        .iter()
        .map(|span| format!("00-{TRACE}-{}-01", hex(&span.span_id)))
        .collect();
    assert_eq!(told, expected);
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.headers["tracestate"] == "congo=t61rcWkgMzE")
    );

    let hooks = of_kind(&below, SpanKind::Internal);
    let said: Vec<(String, String)> = hooks
        .iter()
        .map(|span| {
            (
                span.name.clone(),
                attribute(span, "portcullis.verdict").unwrap_or_default(),
            )
        })
        .filter(|(name, _)| !name.starts_with("on-response"))
        .collect();
    let pair = |name: &str, verdict: &str| (name.to_owned(), verdict.to_owned());
    assert_eq!(
        said,
        [
            pair("on-request limit", "next"),
            pair("on-attempt retry", "retry"),
            pair("on-attempt retry", "abstain"),
        ]
    );
    for span in &below {
        assert!(
            span.start_time_unix_nano >= server.start_time_unix_nano,
            "{}",
            span.name
        );
        assert!(
            span.end_time_unix_nano <= server.end_time_unix_nano,
            "{}",
            span.name
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_fault_is_told_with_its_kind_and_a_policys_own_request_is_below_its_hook() {
    let (auth, collector) = (
        MockService::start().await,
        Collector::start(Speaks::Http).await,
    );
    auth.script("/check", vec![Step::Status(403)]);
    let outcall = "grants: { outcall: { upstreams: [u] } }, limits: { time: 10s }";
    let gateway = TestGateway::start(&format!(
        "{}{ALL}upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  {}
  {}
routes:
  - {{ name: r, upstream: u, policies: [{}, {}] }}",
        collector.config(""),
        auth.url(),
        policy("hostile", "fixtures/hostile"),
        policy_on("probe", "fixtures/outcall-probe", outcall),
        open("hostile", "{ hook: on_request, mode: trap }"),
        closed(
            "probe",
            "{ upstream: u, path: /check, in_response: true, times: 1 }"
        ),
    ))
    .await;
    assert_eq!(gateway.get("/x").await.status, 200);
    eventually("its spans have come", async || {
        !collector.spans().is_empty()
    })
    .await;
    let spans = collector.spans();
    let named = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let server = the_server_span(&spans);
    assert!(server.parent_span_id.is_empty() && server.flags == 0x103);
    let fault = named("on-request hostile");
    let keys = [
        "portcullis.policy",
        "portcullis.phase",
        "portcullis.fault",
        "error.type",
        "portcullis.verdict",
    ];
    let expected = ["hostile", "on-request", "trap", "trap", ""];
    assert_eq!(chosen(fault, &keys), expected);
    assert!(is_error(fault) && fault.status.as_ref().unwrap().message.starts_with("trap: "));
    assert!(!is_error(&server), "the policy fails open");

    let hook = named("on-response probe");
    assert_eq!(hook.parent_span_id, server.span_id);
    let outcalls = spans
        .iter()
        .filter(|span| span.parent_span_id == hook.span_id);
    let outcalls: Vec<&Span> = outcalls.collect();
    assert_eq!(outcalls.len(), 1, "{spans:#?}");
    let keys = [
        "http.response.status_code",
        "error.type",
        "http.request.resend_count",
    ];
    assert_eq!(chosen(outcalls[0], &keys), ["403", "403", ""]);
    let told = &auth.requests_to("/check")[0].headers["traceparent"];
    let expected = format!(
        "00-{}-{}-03",
        hex(&server.trace_id),
        hex(&outcalls[0].span_id)
    );
    assert_eq!(told, expected.as_str());
}

#[tokio::test]
async fn what_the_gateway_answers_itself_is_told_with_its_code() {
    let collector = Collector::start(Speaks::Grpc).await;
    let nobody = RefusingAddress::take();
    let gateway = TestGateway::start(&format!(
        "{}{ALL}limits: {{ uri_bytes: 256B }}
upstreams: {{ u: {{ endpoints: [\"{}\"] }} }}
routes:
  - {{ name: r, match: {{ path_prefix: /r }}, upstream: u }}
  - {{ name: fixed, match: {{ path_prefix: /fixed }}, respond: {{ status: 501 }} }}",
        collector.config(""),
        nobody.url(),
    ))
    .await;
    let mut client = gateway.client().await;
    let long = format!("/{}", "x".repeat(300));
    for (path, status) in [
        ("/r", 502),
        ("/gone", 404),
        (long.as_str(), 414),
        ("/fixed", 501),
    ] {
        assert_eq!(client.send(Method::GET, path, &[], "").await.status, status);
    }
    let method = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(client.send(method, "/gone", &[], "").await.status, 404);
    let spans = collector.wait_for_spans(6).await;
    let keys = [
        "http.response.status_code",
        "error.type",
        "portcullis.error",
        "http.request.method_original",
    ];
    let told: BTreeMap<String, (Vec<String>, bool)> = of_kind(&spans, SpanKind::Server)
        .iter()
        .map(|span| {
            let path = attribute(span, "url.path").unwrap();
            let key = format!("{} {}", span.name, &path[..path.len().min(6)]);
            (key, (chosen(span, &keys), is_error(span)))
        })
        .collect();
    let expected = [
        ("GET /gone", ["404", "", "no-route", ""], false),
        ("GET /xxxxx", ["414", "", "target-too-long", ""], false),
        ("GET fixed /fixed", ["501", "501", "", ""], true),
        (
            "GET r /r",
            [
                "502",
                "upstream-connect-refused",
                "upstream-connect-refused",
                "",
            ],
            true,
        ),
        ("HTTP /gone", ["404", "", "no-route", "BREW"], false),
    ];
    let expected: BTreeMap<String, (Vec<String>, bool)> = expected
        .map(|(key, values, error)| (key.to_owned(), (values.map(str::to_owned).to_vec(), error)))
        .into();
    assert_eq!(told, expected);
    let attempts = of_kind(&spans, SpanKind::Client);
    let keys = ["error.type", "http.response.status_code"];
    assert_eq!(chosen(&attempts[0], &keys), ["connect-refused", ""]);
    assert!(is_error(&attempts[0]));
}

#[tokio::test]
async fn the_servers_span_ends_with_the_body_and_the_clients_with_the_head() {
    let (upstream, collector) = (
        MockService::start().await,
        Collector::start(Speaks::Grpc).await,
    );
    let gateway = TestGateway::start(&format!(
        "{}{ALL}upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  {}
routes: [{{ name: r, upstream: u, policies: [{}] }}]",
        collector.config(""),
        upstream.url(),
        policy("copy", "fixtures/stream-probe"),
        closed("copy", "{}"),
    ))
    .await;
    let answer = gateway.get("/stream/4?interval_ms=100").await;
    assert_eq!(answer.status, 200);
    eventually("its spans have come", async || {
        !collector.spans().is_empty()
    })
    .await;
    let spans = collector.spans();
    let server = the_server_span(&spans);
    let body = Duration::from_millis(300);
    assert!(took(&server) >= body, "{:?}", took(&server));
    assert_eq!(
        attribute(&server, "http.response.body.size").unwrap(),
        answer.body.len().to_string()
    );
    let attempt = &of_kind(&spans, SpanKind::Client)[0];
    assert!(
        took(attempt) < took(&server) - body / 2,
        "{:?}",
        took(attempt)
    );
    let hook = spans
        .iter()
        .find(|span| span.name == "on-response-body copy")
        .unwrap();
    assert!(took(hook) > body / 2, "{:?}", took(hook));
    assert_eq!(hook.parent_span_id, server.span_id);
    assert!(
        attribute(hook, "portcullis.verdict").is_some(),
        "{:#?}",
        attributes(hook)
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let (upstream, collector) = (
        MockService::start().await,
        Collector::start(Speaks::Grpc).await,
    );
    let gateway = traced(&collector, &upstream.url(), "").await;
    let mut client = gateway.client().await;
    assert!(
        client
            .try_send(Method::GET, "/truncate", &[], "")
            .await
            .is_err()
    );
    let spans = collector.wait_for_spans(2).await;
    let server = the_server_span(&spans);
    let keys = [
        "http.response.status_code",
        "error.type",
        "portcullis.error",
    ];
    assert_eq!(
        chosen(&server, &keys),
        ["200", "upstream-body", "upstream-body"]
    );
    assert!(is_error(&server));
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_error() {
    let (upstream, collector) = (
        MockService::start().await,
        Collector::start(Speaks::Grpc).await,
    );
    upstream.script("/x", vec![Step::Hang]);
    let gateway = traced(&collector, &upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    drop(client);
    let spans = collector.wait_for_spans(2).await;
    let keys = [
        "http.response.status_code",
        "error.type",
        "portcullis.error",
    ];
    let server = the_server_span(&spans);
    assert_eq!(chosen(&server, &keys), ["", "", "client-closed"]);
    let attempt = &of_kind(&spans, SpanKind::Client)[0];
    assert_eq!(chosen(attempt, &keys), ["", "", ""]);
    assert!(!is_error(&server) && !is_error(attempt));
}

#[tokio::test]
async fn a_tunnels_request_has_ended_when_the_protocol_changes() {
    let (upstream, collector) = (
        RawUpstream::start().await,
        Collector::start(Speaks::Grpc).await,
    );
    let gateway = traced(&collector, &upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n")
        .await;
    let mut service = upstream.accept().await;
    let head = service.head().await;
    service
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
    client.head().await;
    let spans = collector.wait_for_spans(2).await;
    let server = the_server_span(&spans);
    assert_eq!(
        attribute(&server, "http.response.status_code").unwrap(),
        "101"
    );
    assert!(!is_error(&server) && attribute(&server, "portcullis.error").is_none());
    let attempt = &of_kind(&spans, SpanKind::Client)[0];
    let expected = format!("00-{}-{}-03", hex(&server.trace_id), hex(&attempt.span_id));
    assert_eq!(field(&head, "traceparent"), Some(&*expected));
    // It goes on all the while.
    client.send("ping").await;
    assert_eq!(service.exactly(4).await, "ping");
}

#[tokio::test]
async fn calls_of_grpc_are_traced_like_others_and_fail_by_what_the_gateway_says() {
    let (_service, port) = Peer::start_script("grpc_service.py", &[]).await;
    let collector = Collector::start(Speaks::Grpc).await;
    let nobody = RefusingAddress::take();
    let gateway = TestGateway::start(&format!(
        "{}{ALL}upstreams:
  s: {{ endpoints: [\"http://127.0.0.1:{port}\"], protocol: http2 }}
  nobody: {{ endpoints: [\"{}\"], protocol: http2 }}
routes:
  - {{ name: calls, upstream: s }}
  - {{ name: nobody, match: {{ headers: {{ x-to: nobody }} }}, upstream: nobody }}",
        collector.config(""),
        nobody.url(),
    ))
    .await;
    let address = gateway.address.to_string();
    assert_eq!(
        run_script("grpc_client.py", &["unary", &address]).await,
        "ok\n"
    );
    eventually("its spans have come", async || collector.spans().len() >= 2).await;
    let spans = collector.spans();
    let keys = [
        "http.request.method",
        "http.response.status_code",
        "network.protocol.version",
        "error.type",
    ];
    let server = &of_kind(&spans, SpanKind::Server)[0];
    assert_eq!(
        (&*server.name, chosen(server, &keys)),
        (
            "POST calls",
            ["POST", "200", "2", ""].map(str::to_owned).to_vec()
        )
    );
    let attempt = &of_kind(&spans, SpanKind::Client)[0];
    assert_eq!(chosen(attempt, &keys), ["POST", "200", "2", ""]);

    let fields = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-to", "nobody"),
    ];
    let answer = gateway
        .client()
        .await
        .send(Method::POST, "/a.B/C", &fields, "")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("grpc-status")),
        (200, "14")
    );
    let failed = || {
        collector
            .spans()
            .into_iter()
            .find(|span| span.name == "POST nobody" && span.kind() == SpanKind::Server)
    };
    eventually("it has come, too", async || failed().is_some()).await;
    let server = failed().unwrap();
    assert_eq!(
        attribute(&server, "error.type").unwrap(),
        "upstream-connect-refused"
    );
    assert!(is_error(&server));
}
