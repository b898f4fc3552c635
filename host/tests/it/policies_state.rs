//! What stays from one request to the next: nothing, an instance's memory, keys in kv.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, policy, policy_on, received};
use crate::support::{TestClient, TestGateway};

const POOLED: &str = "isolation: pooled, limits: { time: 10s }";
const KV: &str = "grants: { kv: {} }, limits: { time: 10s }";

/// What the probe's instance knew when it was asked: its calls so far, and the last request's secret.
async fn memory(client: &mut TestClient, path: &str, secret: &str) -> (String, String) {
    let answer = client
        .send(Method::GET, path, &[("x-secret", secret)], "")
        .await;
    assert_eq!(answer.status, 200);
    (
        received(&answer, "x-probe-calls"),
        received(&answer, "x-probe-previous"),
    )
}

fn known(calls: &str, previous: &str) -> (String, String) {
    (calls.to_owned(), previous.to_owned())
}

#[tokio::test]
async fn nothing_of_a_request_is_visible_in_the_next() {
    let upstream = MockService::start().await;
    let policies = [policy("probe", "fixtures/probe")];
    let routes = [("r", vec![closed("probe", "{}")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let mut client = gateway.client().await;
    for secret in ["s1", "s2", "s3"] {
        assert_eq!(memory(&mut client, "/r", secret).await, known("1", ""));
    }
}

#[tokio::test]
async fn a_pooled_instance_serves_one_request_after_another() {
    let upstream = MockService::start().await;
    let policies = [policy_on("probe", "fixtures/probe", POOLED)];
    let routes = [("r", vec![closed("probe", "{}")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let mut client = gateway.client().await;
    assert_eq!(memory(&mut client, "/r", "s1").await, known("1", ""));
    assert_eq!(memory(&mut client, "/r", "s2").await, known("2", "s1"));
    // Each request takes it twice, for both of its hooks, but only on-request counts.
    assert_eq!(memory(&mut client, "/r", "s3").await, known("3", "s2"));
}

#[tokio::test]
async fn a_pooled_instance_is_of_one_route_only() {
    let upstream = MockService::start().await;
    let policies = [policy_on("probe", "fixtures/probe", POOLED)];
    let routes = [
        ("a", vec![closed("probe", "{}")]),
        ("b", vec![closed("probe", "{}")]),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let mut client = gateway.client().await;
    assert_eq!(memory(&mut client, "/a", "s1").await, known("1", ""));
    assert_eq!(memory(&mut client, "/b", "s2").await, known("1", ""));
    assert_eq!(memory(&mut client, "/a", "s3").await, known("2", "s1"));
    assert_eq!(memory(&mut client, "/b", "s4").await, known("2", "s2"));
}

#[tokio::test]
async fn a_pooled_instance_is_of_one_use_only() {
    let upstream = MockService::start().await;
    let policies = [policy_on("probe", "fixtures/probe", POOLED)];
    // The second use overwrites the notes of the first; the first's instance would count its calls.
    let chain = vec![
        closed("probe", "{ remove: [x-gone] }"),
        closed("probe", "{}"),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &[("r", chain)])).await;
    let mut client = gateway.client().await;
    assert_eq!(memory(&mut client, "/r", "s1").await, known("1", ""));
    assert_eq!(memory(&mut client, "/r", "s2").await, known("2", "s1"));
}

#[tokio::test]
async fn a_reload_begins_with_new_instances() {
    let upstream = MockService::start().await;
    let policies = [policy_on("probe", "fixtures/probe", POOLED)];
    let text = config(
        &upstream.url(),
        &policies,
        &[("r", vec![closed("probe", "{}")])],
    );
    let gateway = TestGateway::start(&text).await;
    let mut client = gateway.client().await;
    assert_eq!(memory(&mut client, "/r", "s1").await, known("1", ""));
    gateway.reload(&text).await.unwrap();
    assert_eq!(memory(&mut client, "/r", "s2").await, known("1", ""));
}

async fn kv_count(gateway: &TestGateway, path: &str) -> String {
    received(&gateway.get(path).await, "x-kv-count")
}

#[tokio::test]
async fn kv_is_shared_by_the_routes_of_a_policy_and_by_no_other_policy() {
    let upstream = MockService::start().await;
    let policies = ["one", "two"].map(|name| policy_on(name, "fixtures/kv-probe", KV));
    let key = "{ key: n }";
    let routes = [
        ("a", vec![closed("one", key)]),
        ("b", vec![closed("one", key)]),
        ("c", vec![closed("two", key)]),
    ];
    let text = config(&upstream.url(), &policies, &routes);
    let gateway = TestGateway::start(&text).await;
    assert_eq!(kv_count(&gateway, "/a").await, "1");
    assert_eq!(kv_count(&gateway, "/b").await, "2");
    assert_eq!(kv_count(&gateway, "/c").await, "1");
    assert_eq!(kv_count(&gateway, "/a").await, "3");
    gateway.reload(&text).await.unwrap();
    assert_eq!(kv_count(&gateway, "/b").await, "4");
}

#[tokio::test]
async fn kv_without_a_grant_is_refused_with_the_line_that_grants_it() {
    let policies = [policy("one", "fixtures/kv-probe")];
    let routes = [("a", vec![closed("one", "{ key: n }")])];
    let text = config("http://127.0.0.1:1", &policies, &routes);
    let refusal = TestGateway::refusal(&text).await;
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    assert!(refusal.contains("policies.one.grants: "), "{refusal}");
    assert!(
        refusal.contains("imports \"kv\", which is not granted"),
        "{refusal}"
    );
    assert!(refusal.contains("`grants: { kv: {} }`"), "{refusal}");
}

#[tokio::test]
async fn stubbed_kv_answers_denied() {
    let upstream = MockService::start().await;
    let policies = [policy_on(
        "one",
        "fixtures/kv-probe",
        "stub: [kv], limits: { time: 10s }",
    )];
    let routes = [("a", vec![closed("one", "{ key: n }")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let answer = gateway.get("/a").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.text().contains("denied") || answer.text().contains("not granted"),
        "{answer:?}"
    );
}
