//! What a policy may do in a hook, in a second and at all: counted, refused, and said.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, faults, policy_on};
use crate::support::process::Portcullis;
use crate::support::{TestGateway, eventually, metric};

const BAD: [(&str, &str); 1] = [("x-bad", "1")];
const REFUSED: &str = "portcullis_policy_limit_refused_total";
/// Lines that the fixture logs in one hook; for each of them it asks before whether the level is kept.
const FLOOD: usize = 10_000;

fn flood(upstream: &MockService, limits: &str) -> String {
    let terms = format!("limits: {{ time: 10s, {limits} }}");
    let policies = [policy_on("hostile", "fixtures/hostile", &terms)];
    let misbehaviour = "{ hook: on_request, mode: log_flood, when_header: x-bad }";
    let routes = [("r", vec![closed("hostile", misbehaviour)])];
    config(&upstream.url(), &policies, &routes)
}

fn refused(page: &str, policy: &str, limit: &str) -> usize {
    let labels = [
        ("portcullis_policy", policy),
        ("portcullis_route", "r"),
        ("portcullis_limit", limit),
    ];
    metric(page, REFUSED, &labels) as usize
}

#[tokio::test]
async fn a_hook_that_calls_the_host_too_often_is_ended() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&flood(&upstream, "log_lines: 0")).await;
    let mut client = gateway.client().await;
    let ended = client.send(Method::GET, "/r", &BAD, "").await;
    assert_eq!(ended.status, 503);
    assert_eq!(
        ended.json()["detail"],
        "policy \"hostile\" failed in on-request (limit)"
    );
    assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
    let page = gateway.metrics().await;
    assert_eq!(faults(&page, "hostile", "r", "on-request", "limit"), 1);
    assert_eq!(refused(&page, "hostile", "host_calls"), 1, "{page}");

    // 20,000 and a few more calls.
    let enough = flood(&upstream, "log_lines: 0, host_calls: 20100");
    gateway.reload(&enough).await.unwrap();
    let served = client.send(Method::GET, "/r", &BAD, "").await;
    assert_eq!(served.status, 200);
}

#[tokio::test]
async fn each_hook_may_call_the_host_so_often() {
    let upstream = MockService::start().await;
    let terms = "isolation: pooled, limits: { time: 10s, host_calls: 40 }";
    let policies = [policy_on("probe", "fixtures/probe", terms)];
    let routes = [("r", vec![closed("probe", "{}")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
    }
}

/// The flood's lines in the log.
fn lines(gateway: &Portcullis) -> usize {
    let log = gateway.log();
    log.lines().filter(|line| line.contains("turn=")).count()
}

#[tokio::test]
async fn lines_beyond_the_limit_are_dropped_counted_and_said() {
    let upstream = MockService::start().await;
    let text = flood(&upstream, "host_calls: 1000000, log_lines: 1");
    let gateway = Portcullis::start(&text).await;
    let mut client = gateway.client().await;
    assert_eq!(client.send(Method::GET, "/r", &BAD, "").await.status, 200);
    gateway.wait_for_log("turn=0").await;
    // One, and one more for each second that the hook has taken.
    let written = lines(&gateway);
    assert!(written <= 11, "{written}");
    let dropped = refused(&gateway.metrics().await, "hostile", "log_lines");
    assert_eq!(dropped + written, FLOOD);

    let said = "lines were dropped: a hook may log 32, and limits.log_lines allows 1 a second";
    eventually("the log says so", async || {
        client.send(Method::GET, "/r", &BAD, "").await;
        gateway.log().contains(said)
    })
    .await;
}

#[tokio::test]
async fn a_hook_may_log_so_many_lines_however_many_its_policy_may() {
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&flood(&upstream, "host_calls: 1000000")).await;
    let mut client = gateway.client().await;
    assert_eq!(client.send(Method::GET, "/r", &BAD, "").await.status, 200);
    gateway.wait_for_log("turn=31").await;
    assert_eq!(lines(&gateway), 32);
    let page = gateway.metrics().await;
    assert_eq!(refused(&page, "hostile", "log_lines"), FLOOD - 32, "{page}");
}

#[tokio::test]
async fn records_of_series_beyond_the_limit_are_dropped_and_counted() {
    let upstream = MockService::start().await;
    let text = format!(
        "\nupstreams: {{ api: {{ endpoints: [{}] }} }}\n\
         policies: {{ limit: {{ component: \"builtin:rate-limit\", grants: {{ kv: {{}}, metrics: {{}} }}, \
         limits: {{ time: 10s, metric_series: 1 }} }} }}\n\
         routes: [{{ name: r, upstream: api, policies: [{{ use: limit, on_failure: closed, \
         config: {{ limits: [{{ name: token, key: route, rate: 1, per: 1h }}] }} }}] }}]\n",
        upstream.url()
    );
    let gateway = TestGateway::start(&text).await;
    // One that is allowed and the last, then three that are limited: two series more.
    for status in [200, 429, 429, 429] {
        assert_eq!(gateway.get("/x").await.status, status);
    }
    let page = gateway.metrics().await;
    let decisions = "policy_ratelimit_decisions_total";
    assert_eq!(metric(&page, decisions, &[("outcome", "allowed")]), 1.0);
    assert_eq!(metric(&page, decisions, &[("outcome", "limited")]), 0.0);
    assert_eq!(refused(&page, "limit", "metric_series"), 4, "{page}");
}
