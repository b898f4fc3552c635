//! A worker under policies that misbehave: its other requests go on, its memory stays bounded.

use std::time::Duration;

use http::Method;
use mock_service::{MockService, Step};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::policy_config::{closed, config, faults, policy, policy_on, received};
use crate::support::{TestClient, TestGateway, within};

const BAD: [(&str, &str); 1] = [("x-bad", "1")];

fn misbehaviour(hook: &str, mode: &str) -> String {
    format!("{{ hook: {hook}, mode: {mode}, when_header: x-bad }}")
}

/// Route `bad` misbehaves for requests with `x-bad`, on these terms; route `good` has no policy.
async fn hostile(upstream: &MockService, hook: &str, mode: &str, terms: &str) -> TestGateway {
    let policies = [policy_on("hostile", "fixtures/hostile", terms)];
    let routes = [
        ("bad", vec![closed("hostile", &misbehaviour(hook, mode))]),
        ("good", vec![]),
    ];
    TestGateway::start(&config(&upstream.url(), &policies, &routes)).await
}

#[tokio::test]
async fn a_loop_does_not_hold_up_the_workers_other_requests() {
    let upstream = MockService::start().await;
    let gateway = hostile(&upstream, "on_response", "loop", "limits: { time: 1s }").await;
    let (ended, mut order) = mpsc::unbounded_channel();
    let (mut looping, mut client) = (gateway.client().await, gateway.client().await);
    let ended_too = ended.clone();
    tokio::spawn(async move {
        let answer = looping.send(Method::GET, "/bad", &BAD, "").await;
        ended_too.send(answer.status.as_u16()).unwrap();
    });
    // It is answered in no time, and then looked at without end.
    within(upstream.wait_for_requests(1)).await;
    for _ in 0..5 {
        let answer = client.send(Method::GET, "/good", &[], "").await;
        ended.send(answer.status.as_u16()).unwrap();
    }
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(order.recv().await.unwrap());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 503]);
}

#[tokio::test]
async fn a_client_that_goes_away_during_a_loop_leaves_the_worker_working() {
    let upstream = MockService::start().await;
    let gateway = hostile(
        &upstream,
        "on_response",
        "loop",
        "isolation: pooled, limits: { time: 60s }",
    )
    .await;
    let mut leaving = TcpStream::connect(gateway.address).await.unwrap();
    leaving
        .write_all(b"GET /bad HTTP/1.1\r\nhost: a\r\nx-bad: 1\r\n\r\n")
        .await
        .unwrap();
    within(upstream.wait_for_requests(1)).await;
    drop(leaving);
    // The loop would go on for a minute; that its request is recorded says that it was ended.
    let ended = [
        ("http_response_status_code", "499"),
        ("portcullis_route", "bad"),
    ];
    gateway
        .wait_for_metric("http_server_request_duration_seconds_count", &ended, 1.0)
        .await;
    assert_eq!(gateway.get("/bad").await.status, 200);
    assert_eq!(
        faults(
            &gateway.metrics().await,
            "hostile",
            "bad",
            "on-response",
            "deadline"
        ),
        0
    );
}

#[tokio::test]
async fn two_hundred_faults_in_a_row_leave_the_gateway_serving() {
    let upstream = MockService::start().await;
    for (mode, kind) in [
        ("panic", "trap"),
        ("grow_memory", "memory"),
        ("error", "error"),
    ] {
        let gateway = hostile(
            &upstream,
            "on_request",
            mode,
            "isolation: pooled, limits: { time: 10s }",
        )
        .await;
        let mut client = gateway.client().await;
        for turn in 0..200 {
            let failed = client.send(Method::GET, "/bad", &BAD, "").await;
            assert_eq!(failed.status, 503, "{mode}, request {turn}");
            // An instance that has trapped can't be entered again: this one is another.
            let next = client.send(Method::GET, "/bad", &[], "").await;
            assert_eq!(next.status, 200, "{mode}, after request {turn}");
        }
        assert_eq!(
            faults(
                &gateway.metrics().await,
                "hostile",
                "bad",
                "on-request",
                kind
            ),
            200
        );
    }
}

#[tokio::test]
async fn an_instance_that_was_stopped_in_a_loop_is_not_used_again() {
    let upstream = MockService::start().await;
    let gateway = hostile(
        &upstream,
        "on_request",
        "loop",
        "isolation: pooled, limits: { time: 100ms }",
    )
    .await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        assert_eq!(client.send(Method::GET, "/bad", &BAD, "").await.status, 503);
        assert_eq!(client.send(Method::GET, "/bad", &[], "").await.status, 200);
    }
}

/// Sends the same request over that many connections at once; the answers' statuses, and what the
/// upstream received in `field`.
async fn at_once(
    gateway: &TestGateway,
    count: usize,
    path: &'static str,
    field: &'static str,
) -> Vec<(u16, String)> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let address = gateway.address;
        requests.spawn(async move {
            let mut client = TestClient::connect(address).await;
            let answer = client.send(Method::GET, path, &BAD, "").await;
            let echoed = if answer.status == 200 {
                received(&answer, field)
            } else {
                String::new()
            };
            (answer.status.as_u16(), echoed)
        });
    }
    requests.join_all().await
}

#[tokio::test]
async fn hundreds_of_requests_at_once_each_have_a_fresh_policy() {
    const COUNT: usize = 300;
    let upstream = MockService::start().await;
    upstream.script("/held", vec![Step::Echo.after(Duration::from_millis(200))]);
    let policies = [policy("probe", "fixtures/probe")];
    let routes = [("r", vec![closed("probe", "{}")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let answers = at_once(&gateway, COUNT, "/r/held", "x-probe-calls").await;
    assert_eq!(answers.len(), COUNT);
    assert!(
        answers
            .iter()
            .all(|(status, calls)| *status == 200 && calls == "1"),
        "{answers:?}"
    );
    let mut ids: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.headers["x-probe-id"].clone())
        .collect();
    ids.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    ids.dedup();
    assert_eq!(ids.len(), COUNT);
}

#[tokio::test]
async fn hundreds_of_loops_at_once_are_all_ended() {
    const COUNT: usize = 200;
    let upstream = MockService::start().await;
    let gateway = hostile(&upstream, "on_request", "loop", "limits: { time: 100ms }").await;
    let answers = at_once(&gateway, COUNT, "/bad", "x-bad").await;
    assert_eq!(
        answers.iter().filter(|(status, _)| *status == 503).count(),
        COUNT
    );
    assert_eq!(
        faults(
            &gateway.metrics().await,
            "hostile",
            "bad",
            "on-request",
            "deadline"
        ),
        COUNT as u64
    );
    assert_eq!(gateway.get("/bad").await.status, 200);
}
