//! Requests of policies' own: granted by name, bounded, cancelled with their hook, told apart from the routes'.

use std::time::{Duration, Instant};

use http::Method;
use mock_service::{MockService, Outcome, Step};

use crate::policy_config::{closed, faults, open, policy_on};
use crate::support::http2::H2Upstream;
use crate::support::raw::{RawConnection, RawUpstream, RefusingAddress, field};
use crate::support::{Answer, TestGateway, eventually, metric, within};

const GRANTED: &str = "grants: { outcall: { upstreams: [auth] } }, limits: { time: 10s }";
const CALLS: &str = "portcullis_policy_outcall_duration_seconds_count";

/// A gateway with the upstream `auth`, where `keys` may say more of it, and another one at the same place; a
/// route that answers itself and has the probe, and one to `auth`.
fn config(auth: &str, keys: &str, terms: &str, used: &str) -> String {
    let probe = policy_on("probe", "fixtures/outcall-probe", terms);
    format!(
        "
upstreams: {{ auth: {{ endpoints: ['{auth}'], {keys} }}, other: {{ endpoints: ['{auth}'] }} }}
policies:
  {probe}
routes:
  - {{ name: r, match: {{ path_prefix: /r }}, respond: {{ status: 204 }}, policies: [{used}] }}
  - {{ name: auth, match: {{ path_prefix: /auth }}, rewrite: {{ strip_prefix: /auth }}, upstream: auth }}
"
    )
}

fn call(config: &str) -> String {
    closed("probe", &format!("{{ upstream: auth, {config} }}"))
}

async fn gateway(auth: &MockService, terms: &str, used: &str) -> TestGateway {
    TestGateway::start(&config(&auth.url(), "", terms, used)).await
}

/// What the probe tells of its calls, without what it tells of the one in `configure`.
fn told(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let early = lines.pop().unwrap();
    let expected = "early: outcall: denied: ";
    assert!(early.starts_with(expected), "{early}");
    lines
}

/// What the probe tells of its one call.
async fn told_of_one(auth: &str, keys: &str, terms: &str, call_config: &str) -> String {
    let text = config(auth, keys, terms, &call(call_config));
    let gateway = TestGateway::start(&text).await;
    let mut told = told(&gateway.get("/r").await);
    assert_eq!(told.len(), 1);
    told.remove(0)
}

async fn calls(gateway: &TestGateway, outcome: &str) -> f64 {
    let labels = [
        ("portcullis_policy", "probe"),
        ("portcullis_route", "r"),
        ("portcullis_upstream", "auth"),
        ("portcullis_outcome", outcome),
    ];
    metric(&gateway.metrics().await, CALLS, &labels)
}

async fn refused(gateway: &TestGateway, limit: &str) -> f64 {
    let labels = [("portcullis_policy", "probe"), ("portcullis_limit", limit)];
    let name = "portcullis_policy_limit_refused_total";
    metric(&gateway.metrics().await, name, &labels)
}

#[tokio::test]
async fn a_policy_sends_a_request_and_gets_the_whole_answer() {
    let auth = MockService::start().await;
    let answer = Step::respond(201, "yes")
        .with_header("x-user", "7")
        .with_header("keep-alive", "timeout=5");
    auth.script("/check", vec![answer]);
    let post = "method: POST, path: '/a/../check?who=me', headers: [[x-token, t1], [x-token, t2]], body: 3, times: 3";
    let text = format!("via: gw\n{}", config(&auth.url(), "", GRANTED, &call(post)));
    let gateway = TestGateway::start(&text).await;
    let headers = [("via", "1.1 outer"), ("x-request-id", "mine")];
    let answer = gateway.get_with("/r", &headers).await;
    for line in told(&answer) {
        assert!(line.starts_with("201 [x-user=7, "), "{line}");
        assert!(!line.contains("keep-alive"), "{line}");
        assert!(line.ends_with("] yes"), "{line}");
    }
    let requests = auth.requests_to("/check");
    assert_eq!((requests.len(), auth.connections()), (3, 1));
    let request = &requests[0];
    assert_eq!(
        (request.method.as_str(), request.query.as_str()),
        ("POST", "who=me")
    );
    assert_eq!(&request.body[..], b"xxx");
    let mut fields: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort_unstable();
    let expected = [
        "content-length: 3".to_owned(),
        format!("host: {}", auth.address()),
        "via: 1.1 gw".to_owned(),
        "via: 1.1 outer".to_owned(),
        format!("x-request-id: {}", answer.header("x-request-id")),
        "x-token: t1".to_owned(),
        "x-token: t2".to_owned(),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a_response_hook_may_send_them_and_they_are_told_apart_from_the_routes_traffic() {
    let auth = MockService::start().await;
    auth.script("/", vec![Step::respond(200, "ok")]);
    let gateway = gateway(&auth, GRANTED, &call("in_response: true, times: 2")).await;
    let answer = gateway.get("/r").await;
    assert_eq!(answer.header("x-outcall").matches("200 [").count(), 2);
    assert_eq!(gateway.get("/auth/x").await.status, 200);
    assert_eq!(auth.connections(), 1, "one pool for both");
    assert_eq!(calls(&gateway, "2xx").await, 2.0);
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, CALLS, &[]), 2.0);
    assert_eq!(
        metric(&page, "portcullis_upstream_attempts_total", &[]),
        1.0
    );
}

#[tokio::test]
async fn a_redirect_and_an_error_are_answers_like_others() {
    let auth = MockService::start().await;
    let elsewhere = Step::respond(302, "").with_header("location", "/elsewhere");
    auth.script("/", vec![elsewhere, Step::Status(500)]);
    let gateway = gateway(&auth, GRANTED, &call("times: 2")).await;
    let told = told(&gateway.get("/r").await);
    assert!(told[0].starts_with("302 [location=/elsewhere"), "{told:?}");
    assert!(told[1].starts_with("500 ["), "{told:?}");
    assert_eq!(auth.requests().len(), 2);
    let outcomes = (calls(&gateway, "3xx").await, calls(&gateway, "5xx").await);
    assert_eq!(outcomes, (1.0, 1.0));
}

#[tokio::test]
async fn an_upstream_that_is_not_granted_is_as_denied_as_one_that_is_not_there() {
    let auth = MockService::start().await;
    for wanted in ["other", "nowhere", "127.0.0.1:1"] {
        let used = closed("probe", &format!("{{ upstream: '{wanted}' }}"));
        let gateway = gateway(&auth, GRANTED, &used).await;
        let told = told(&gateway.get("/r").await);
        assert_eq!(
            told,
            [format!(
                "outcall: denied: upstream {wanted:?} is not granted"
            )]
        );
    }
    assert!(auth.requests().is_empty());
}

#[tokio::test]
async fn without_a_grant_it_is_refused_at_load_and_with_a_stub_denied() {
    let auth = MockService::start().await;
    let text = config(&auth.url(), "", "limits: { time: 10s }", &call(""));
    let refusal = TestGateway::refusal(&text).await;
    let words = "policies.probe.grants: the component imports \"outcall\", which is not granted; add `grants: { outcall: { upstreams: [NAME] } }`, or `stub: [outcall]` to deny it";
    assert!(
        refusal.contains(words) && refusal.lines().count() == 1,
        "{refusal}"
    );

    let gateway = gateway(&auth, "stub: [outcall], limits: { time: 10s }", &call("")).await;
    let told = told(&gateway.get("/r").await);
    assert_eq!(
        told,
        ["outcall: denied: the policy has no grant for outcall"]
    );
    assert!(auth.requests().is_empty());
}

#[tokio::test]
async fn a_hook_may_send_so_many() {
    let auth = MockService::start().await;
    auth.script("/", vec![Step::respond(200, "ok")]);
    let terms = GRANTED.replace("time: 10s", "time: 10s, outcalls: 2");
    let gateway = gateway(&auth, &terms, &call("times: 4")).await;
    let mut client = gateway.client().await;
    for round in 1..=2 {
        let told = told(&client.send(Method::GET, "/r", &[], "").await);
        assert!(
            told[..2].iter().all(|line| line.starts_with("200 [")),
            "{told:?}"
        );
        let denied = "outcall: denied: limits.outcalls is 2";
        assert_eq!(&told[2..], [denied, denied]);
        assert_eq!(auth.requests().len(), 2 * round);
    }
    assert_eq!(refused(&gateway, "outcalls").await, 4.0);
}

#[tokio::test]
async fn bodies_may_be_so_large() {
    let auth = MockService::start().await;
    auth.script("/exact", vec![Step::Bytes(4096)]);
    auth.script("/announced", vec![Step::Bytes(4097)]);
    auth.script(
        "/chunked",
        vec![Step::Stream {
            chunks: 4000,
            interval: Duration::ZERO,
        }],
    );
    let terms = GRANTED.replace("time: 10s", "time: 10s, outcall_body: 4KiB");
    let ask = async |used: &str| {
        let gateway = gateway(&auth, &terms, &call(used)).await;
        let told = told(&gateway.get("/r").await).join("\n");
        let too_large = calls(&gateway, "too-large").await;
        (told, refused(&gateway, "outcall_body").await, too_large)
    };
    let (told, refused, _) = ask("path: /exact, method: PUT, body: 4096").await;
    assert!(told.ends_with("] 4096 bytes"), "{told}");
    assert_eq!(refused, 0.0);
    for path in ["/announced", "/chunked"] {
        let too_large = ask(&format!("path: {path}")).await;
        assert_eq!(
            too_large,
            ("outcall: too large".to_owned(), 1.0, 1.0),
            "{path}"
        );
    }
    let sent = auth.requests().len();
    let too_large = ask("method: POST, body: 4097").await;
    assert_eq!(too_large, ("outcall: too large".to_owned(), 1.0, 0.0));
    assert_eq!(auth.requests().len(), sent);
}

#[tokio::test]
async fn a_large_body_may_be_sent_where_the_operator_allows_it() {
    let auth = MockService::start().await;
    auth.script("/", vec![Step::respond(200, "ok")]);
    let terms = GRANTED.replace("time: 10s", "time: 10s, memory: 64MiB, outcall_body: 8MiB");
    let told = told_of_one(&auth.url(), "", &terms, "method: POST, body: 6000000").await;
    assert!(told.ends_with("] ok"), "{told}");
    assert_eq!(auth.requests()[0].body.len(), 6_000_000);
}

#[tokio::test]
async fn what_would_split_a_request_or_is_the_gateways_is_refused() {
    let auth = MockService::start().await;
    for (used, expected) in [
        ("headers: [[Host, evil]]", "forbidden: host"),
        (
            "headers: [[content-length, '5']]",
            "forbidden: content-length",
        ),
        (
            "headers: [[transfer-encoding, chunked]]",
            "forbidden: transfer-encoding",
        ),
        ("headers: [[connection, x-token]]", "forbidden: connection"),
        ("headers: [[upgrade, websocket]]", "forbidden: upgrade"),
        ("headers: [[te, trailers]]", "forbidden: te"),
        ("headers: [[expect, 100-continue]]", "forbidden: expect"),
        ("headers: [[via, '1.1 me']]", "forbidden: via"),
        (
            r#"headers: [[x-a, "1\r\nx-b: 2"]]"#,
            "invalid: value of x-a",
        ),
        (
            r#"headers: [["x-a: 1\r\nx-b", '2']]"#,
            r#"invalid: name "x-a: 1\r\nx-b""#,
        ),
        ("headers: [['', '2']]", r#"invalid: name """#),
        ("method: CONNECT", "forbidden: method CONNECT"),
        (
            "method: 'GET /x HTTP/1.1'",
            r#"invalid: method "GET /x HTTP/1.1""#,
        ),
        (
            r#"path: "/x HTTP/1.1\r\nx-b: 2""#,
            r#"invalid: path-with-query "/x HTTP/1.1\r\nx-b: 2": a control character in the request's target"#,
        ),
        (
            "path: 'http://evil/'",
            r#"invalid: path-with-query "http://evil/": the request's target is not a path"#,
        ),
        (
            "path: ''",
            r#"invalid: path-with-query "": the request's target is not a path"#,
        ),
    ] {
        let told = told_of_one(&auth.url(), "", GRANTED, used).await;
        assert_eq!(told, format!("outcall: {expected}"));
    }
    let many = vec!["[x-a, b]"; 257].join(", ");
    let told = told_of_one(&auth.url(), "", GRANTED, &format!("headers: [{many}]")).await;
    assert_eq!(
        told,
        "outcall: invalid: more than 256 fields in one request"
    );
    let long = "v".repeat(65_536);
    let told = told_of_one(
        &auth.url(),
        "",
        GRANTED,
        &format!("headers: [[x-a, {long}]]"),
    )
    .await;
    assert_eq!(
        told,
        "outcall: invalid: more than 65536 bytes of fields in one request"
    );
    assert!(auth.requests().is_empty());
}

#[tokio::test]
async fn what_fails_has_the_name_that_attempts_have() {
    let down = RefusingAddress::take();
    let told = told_of_one(&down.url(), "", GRANTED, "").await;
    assert_eq!(told, "outcall: unavailable: connect-refused");

    let auth = MockService::start().await;
    auth.script("/close", vec![Step::Close]);
    for (path, failure) in [("/close", "reset"), ("/truncate", "reset")] {
        let told = told_of_one(
            &auth.url(),
            "",
            GRANTED,
            &format!("path: {path}, method: POST"),
        )
        .await;
        assert_eq!(told, format!("outcall: unavailable: {failure}"), "{path}");
    }
    let told = told_of_one("http://nowhere.invalid", "", GRANTED, "").await;
    assert_eq!(told, "outcall: unavailable: dns");
}

#[tokio::test]
async fn an_upstream_whose_circuit_is_open_is_overloaded() {
    let auth = MockService::start().await;
    auth.script("/hang", vec![Step::Hang]);
    let text = config(
        &auth.url(),
        "circuit: { max_requests: 1 }",
        GRANTED,
        &call(""),
    );
    let gateway = TestGateway::start(&text).await;
    let mut held = RawConnection::connect(gateway.address).await;
    held.send("GET /auth/hang HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    within(auth.wait_for_requests(1)).await;
    let told = told(&gateway.get("/r").await);
    assert_eq!(told, ["outcall: unavailable: overloaded"]);
    assert_eq!(calls(&gateway, "overloaded").await, 1.0);
    drop(held);
    eventually("there is room again", async || {
        gateway.upstreams()[0].circuit.requests == 0
    })
    .await;
    assert!(gateway.get("/r").await.text().starts_with("200 ["));
}

#[tokio::test]
async fn a_call_waits_as_long_as_it_says_and_the_upstream_allows() {
    let auth = MockService::start().await;
    auth.script("/hang", vec![Step::Hang]);
    let slow = "path: /stream/1000, timeout_ms: 40";
    for (keys, used) in [
        ("", "path: /hang, timeout_ms: 40"),
        ("", slow),
        (
            "timeouts: { attempt: 40ms }",
            "path: /hang, timeout_ms: 10000",
        ),
        ("timeouts: { attempt: 40ms }", "path: /hang"),
    ] {
        let started = Instant::now();
        let told = told_of_one(&auth.url(), keys, GRANTED, used).await;
        assert_eq!(told, "outcall: timed out");
        assert!(started.elapsed() >= Duration::from_millis(40));
    }
}

#[tokio::test]
async fn a_hook_whose_time_is_over_is_ended_with_its_call() {
    let auth = MockService::start().await;
    auth.script("/hang", vec![Step::Hang]);
    let terms = GRANTED.replace("time: 10s", "time: 100ms");
    let gateway = gateway(&auth, &terms, &call("path: /hang, timeout_ms: 60000")).await;
    let answer = within(gateway.get("/r")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["detail"],
        "policy \"probe\" failed in on-request (deadline)"
    );
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "probe", "r", "on-request", "deadline"), 1);
    assert_eq!(calls(&gateway, "cancelled").await, 1.0);
    within(auth.wait_for_open_connections(0)).await;
    assert_eq!(auth.requests()[0].outcome, Outcome::Abandoned);
    assert_eq!(gateway.upstreams()[0].circuit.requests, 0);
}

#[tokio::test]
async fn a_policy_that_passes_the_error_on_has_failed_and_its_use_decides() {
    let down = RefusingAddress::take();
    let failing = "{ upstream: auth, fail: true }";
    for (used, status) in [
        (closed("probe", failing), 503),
        (open("probe", failing), 204),
    ] {
        let gateway = TestGateway::start(&config(&down.url(), "", GRANTED, &used)).await;
        assert_eq!(gateway.get("/r").await.status, status);
        let page = gateway.metrics().await;
        assert_eq!(faults(&page, "probe", "r", "on-request", "error"), 1);
    }
}

#[tokio::test]
async fn what_an_idle_connection_has_lost_is_sent_again_if_that_does_no_harm() {
    for (method, told_at_last) in [("GET", "200 ["), ("POST", "outcall: unavailable: reset")] {
        let auth = RawUpstream::start().await;
        let used = call(&format!("method: {method}"));
        let gateway = TestGateway::start(&config(&auth.url(), "", GRANTED, &used)).await;
        let serve = async {
            let mut first = auth.accept().await;
            let head = first.head().await;
            assert!(field(&head, "host").is_some());
            first
                .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
            // Takes the second request and closes without a word.
            first.head().await;
            drop(first);
            if method == "GET" {
                let mut second = auth.accept().await;
                second.head().await;
                second
                    .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
        };
        let ask = async {
            let mut client = gateway.client().await;
            assert!(
                client
                    .send(Method::GET, "/r", &[], "")
                    .await
                    .text()
                    .starts_with("200 [")
            );
            let second = client.send(Method::GET, "/r", &[], "").await.text();
            assert!(second.starts_with(told_at_last), "{second}");
        };
        within(async { tokio::join!(serve, ask) }).await;
    }
}

#[tokio::test]
async fn over_http2_it_is_a_stream_with_the_endpoints_authority() {
    let auth = H2Upstream::start().await;
    let text = config(
        &auth.url(),
        "protocol: http2",
        GRANTED,
        &call("method: POST, body: 5"),
    );
    let gateway = TestGateway::start(&text).await;
    let serve = async {
        let mut connection = auth.accept().await;
        let mut exchange = connection.request().await;
        let uri = exchange.request.uri();
        assert_eq!(
            uri.authority().unwrap().as_str(),
            &auth.url()["http://".len()..]
        );
        assert_eq!(exchange.body().await.0, "xxxxx");
        exchange.answer("over two");
    };
    let (answer, ()) = within(async { tokio::join!(gateway.get("/r"), serve) }).await;
    assert_eq!(told(&answer), ["200 [] over two"]);
}

#[tokio::test]
async fn answers_count_for_outlier_detection_and_a_hasty_policy_does_not() {
    let auth = MockService::start().await;
    auth.script("/hang", vec![Step::Hang]);
    auth.script("/bad", vec![Step::Status(503)]);
    let keys = "outlier_detection: { consecutive_failures: 2, max_ejected_percent: 100, base_ejection: 1h, max_ejection: 1h }";
    for (used, ejected) in [
        ("path: /hang, timeout_ms: 20, times: 4", false),
        ("path: /bad, times: 2", true),
    ] {
        let text = config(&auth.url(), keys, GRANTED, &call(used));
        let gateway = TestGateway::start(&text).await;
        gateway.get("/r").await;
        let endpoint = &gateway.upstreams()[0].endpoints[0];
        assert_eq!(endpoint.ejected_for.is_some(), ejected, "{used}");
    }
}

#[tokio::test]
async fn a_call_that_comes_back_to_the_gateway_passes_as_any_other_and_a_loop_ends() {
    let auth = MockService::start().await;
    let first = config(&auth.url(), "", GRANTED, &call(""));
    let gateway = TestGateway::start(&first).await;
    let own = format!("http://{}", gateway.address);
    let back = config(&own, "", GRANTED, &call("path: /nowhere"));
    gateway.reload(&back).await.unwrap();
    let told = told(&gateway.get("/r").await);
    assert!(told[0].starts_with("404 ["), "{told:?}");

    let terms = GRANTED.replace("time: 10s", "time: 300ms");
    let circles = config(
        &own,
        "circuit: { max_requests: 50 }",
        &terms,
        &call("path: /r"),
    );
    gateway.reload(&circles).await.unwrap();
    within(gateway.get("/r")).await;
    let over = async || gateway.upstreams()[0].circuit.requests == 0;
    eventually("nothing goes round any more", over).await;
    assert_eq!(gateway.get("/nowhere").await.status, 404);
}
