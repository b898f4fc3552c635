//! Policies that send requests to another upstream than the route's.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, open, policy_on, received};
use crate::support::{Answer, TestGateway, eventually};

const GRANTED: &str = "grants: { upstreams: [b] }, limits: { time: 10s }";

/// A gateway of the upstreams `a`, `b` and `c`, all of them this service, with the probe on these terms
/// on a route to `a`, on one that answers itself, and on one where it fails open.
async fn gateway(upstream: &MockService, terms: &str, wanted: &str) -> TestGateway {
    TestGateway::start(&config(upstream, terms, wanted)).await
}

fn config(upstream: &MockService, terms: &str, wanted: &str) -> String {
    let probe = policy_on("probe", "fixtures/probe", terms);
    let used = closed("probe", &format!("{{ upstream: {wanted} }}"));
    let failing = open("probe", &format!("{{ upstream: {wanted}, fail: true }}"));
    let url = upstream.url();
    format!(
        "
upstreams: {{ a: {{ endpoints: [{url}] }}, b: {{ endpoints: [{url}] }}, c: {{ endpoints: [{url}] }} }}
policies:
  {probe}
routes:
  - {{ name: r, match: {{ path_prefix: /r }}, upstream: a, policies: [{used}] }}
  - {{ name: native, match: {{ path_prefix: /native }}, respond: {{ status: 204 }}, policies: [{used}] }}
  - {{ name: failing, match: {{ path_prefix: /failing }}, upstream: a, policies: [{failing}] }}
"
    )
}

/// Requests that an upstream has answered.
async fn answered(gateway: &TestGateway, upstream: &str) -> f64 {
    let labels = [("portcullis_upstream", upstream)];
    let page = gateway.metrics().await;
    crate::support::metric(&page, "portcullis_upstream_attempts_total", &labels)
}

fn outcome(answer: &Answer) -> [&str; 3] {
    [
        answer.header("x-probe-set-upstream"),
        answer.header("x-probe-upstream"),
        answer.header("x-probe-set-upstream-late"),
    ]
}

#[tokio::test]
async fn a_request_goes_to_the_upstream_that_a_policy_is_granted_and_sets() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream, GRANTED, "b").await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let answer = client.send(Method::GET, "/r", &[], "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(outcome(&answer), ["ok", "b", "edit refused: too late"]);
        // Staged: the hook itself still reads what was there before.
        assert_eq!(received(&answer, "x-probe-upstream-meanwhile"), "a");
    }
    assert_eq!(answered(&gateway, "b").await, 3.0);
    assert_eq!(answered(&gateway, "a").await, 0.0);
}

#[tokio::test]
async fn the_access_log_names_the_upstream_that_a_policy_has_set() {
    let upstream = MockService::start().await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let text = config(&upstream, GRANTED, "b");
    let logged = format!("access_log: {{ path: {} }}{text}", log.display());
    let gateway = TestGateway::start(&logged).await;
    assert_eq!(gateway.get("/r").await.status, 200);
    let mut line = String::new();
    eventually("the request has left a line", async || {
        line = std::fs::read_to_string(&log).unwrap();
        line.ends_with('\n')
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["route"], &line["upstream"]),
        (&"r".into(), &"b".into())
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_granted_is_as_forbidden_as_one_that_is_not_there() {
    let upstream = MockService::start().await;
    for wanted in ["c", "nowhere"] {
        let gateway = gateway(&upstream, GRANTED, wanted).await;
        let answer = gateway.get("/r").await;
        assert_eq!(answer.status, 200);
        let refused = format!("edit refused: forbidden: upstream {wanted:?} is not granted");
        assert_eq!(outcome(&answer), [&refused, "a", "edit refused: too late"]);
        assert_eq!(answered(&gateway, "a").await, 1.0);
        assert_eq!(answered(&gateway, "c").await, 0.0);
    }
}

#[tokio::test]
async fn without_a_grant_the_function_is_there_and_forbids() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream, "limits: { time: 10s }", "a").await;
    let answer = gateway.get("/r").await;
    let refused = "edit refused: forbidden: upstream \"a\" is not granted";
    assert_eq!(outcome(&answer), [refused, "a", "edit refused: too late"]);
}

#[tokio::test]
async fn a_route_that_answers_itself_gets_no_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream, GRANTED, "b").await;
    let answer = gateway.get("/native").await;
    assert_eq!(answer.status, 204);
    let refused =
        "edit refused: forbidden: the route answers itself: it has no upstream to replace";
    assert_eq!(outcome(&answer), [refused, "", "edit refused: too late"]);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_hook_that_fails_leaves_the_routes_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream, GRANTED, "b").await;
    assert_eq!(gateway.get("/failing").await.status, 200);
    assert_eq!(answered(&gateway, "a").await, 1.0);
    assert_eq!(answered(&gateway, "b").await, 0.0);
}
