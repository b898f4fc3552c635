//! A policy that keeps failing is left alone for a while, and tried again.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, faults, open, policy_on};
use crate::support::{Answer, TestClient, TestGateway, eventually, metric};

const BAD: [(&str, &str); 1] = [("x-bad", "1")];
const STATE: &str = "portcullis_policy_circuit_state";
const REFUSED: &str = "portcullis_policy_circuit_refused_total";

fn misbehaviour(mode: &str) -> String {
    format!("{{ hook: on_request, mode: {mode}, when_header: x-bad }}")
}

/// Route `closed` and route `open` have one policy, on these terms.
fn two_routes(upstream: &MockService, mode: &str, terms: &str) -> String {
    let policies = [policy_on("hostile", "fixtures/hostile", terms)];
    let routes = [
        ("closed", vec![closed("hostile", &misbehaviour(mode))]),
        ("open", vec![open("hostile", &misbehaviour(mode))]),
    ];
    config(&upstream.url(), &policies, &routes)
}

const SLOW: &str = "limits: { time: 10s }, fault_circuit: { faults: 3, window: 1h, open_for: 1h }";
const QUICK: &str =
    "limits: { time: 10s }, fault_circuit: { faults: 3, window: 1h, open_for: 100ms }";

fn route(name: &str) -> [(&str, &str); 2] {
    [("portcullis_policy", "hostile"), ("portcullis_route", name)]
}

fn assert_circuit_open(answer: &Answer) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-portcullis-error"), "policy-circuit-open");
    assert_eq!(answer.json()["code"], "policy-circuit-open");
    assert_eq!(
        answer.json()["detail"],
        "policy \"hostile\" is not called in on-request: its fault circuit is open"
    );
}

async fn fail(client: &mut TestClient, path: &str, times: usize) {
    for _ in 0..times {
        let answer = client.send(Method::GET, path, &BAD, "").await;
        assert_eq!(answer.header("x-portcullis-error"), "policy-failed");
    }
}

#[tokio::test]
async fn after_so_many_faults_a_policy_is_not_called() {
    let upstream = MockService::start().await;
    for (mode, kind) in [("trap", "trap"), ("error", "error")] {
        let gateway = TestGateway::start(&two_routes(&upstream, mode, SLOW)).await;
        let mut client = gateway.client().await;
        fail(&mut client, "/closed", 2).await;
        let good = client.send(Method::GET, "/closed", &[], "").await;
        assert_eq!(good.status, 200, "{mode}: two faults are not three");
        fail(&mut client, "/closed", 1).await;
        for headers in [&BAD[..], &[]] {
            assert_circuit_open(&client.send(Method::GET, "/closed", headers, "").await);
        }

        // The same policy on another route is another use: it has a circuit of its own.
        for _ in 0..4 {
            let passed = client.send(Method::GET, "/open", &BAD, "").await;
            assert_eq!(passed.status, 200, "{mode}");
        }

        let page = gateway.metrics().await;
        for name in ["closed", "open"] {
            assert_eq!(faults(&page, "hostile", name, "on-request", kind), 3);
            assert_eq!(metric(&page, STATE, &route(name)), 2.0, "{page}");
        }
        let hook = [("portcullis_phase", "on-request")];
        let refused = |name| metric(&page, REFUSED, &[&route(name)[..], &hook].concat());
        assert_eq!((refused("closed"), refused("open")), (2.0, 1.0), "{page}");
    }
}

#[tokio::test]
async fn a_probe_that_ends_well_closes_the_circuit() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&two_routes(&upstream, "trap", QUICK)).await;
    let mut client = gateway.client().await;
    fail(&mut client, "/closed", 3).await;
    eventually("a request is let through", async || {
        client.send(Method::GET, "/closed", &[], "").await.status == 200
    })
    .await;
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, STATE, &route("closed")), 0.0, "{page}");
    // Its count begins anew.
    fail(&mut client, "/closed", 2).await;
    let good = client.send(Method::GET, "/closed", &[], "").await;
    assert_eq!(good.status, 200);
}

#[tokio::test]
async fn a_probe_that_fails_opens_the_circuit_again() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&two_routes(&upstream, "trap", QUICK)).await;
    let mut client = gateway.client().await;
    fail(&mut client, "/closed", 3).await;
    eventually("a request probes and fails", async || {
        let answer = client.send(Method::GET, "/closed", &BAD, "").await;
        answer.header("x-portcullis-error") == "policy-failed"
    })
    .await;
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, STATE, &route("closed")), 2.0, "{page}");
    assert_eq!(faults(&page, "hostile", "closed", "on-request", "trap"), 4);
}

#[tokio::test]
async fn one_request_at_a_time_probes() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 2s }, fault_circuit: { faults: 1, open_for: 2s }";
    let gateway = TestGateway::start(&two_routes(&upstream, "loop", terms)).await;
    let (mut probing, mut client) = (gateway.client().await, gateway.client().await);
    fail(&mut client, "/closed", 1).await;
    let probe = tokio::spawn(async move {
        let mut code = String::from("policy-circuit-open");
        while code == "policy-circuit-open" {
            let answer = probing.send(Method::GET, "/closed", &BAD, "").await;
            answer.header("x-portcullis-error").clone_into(&mut code);
        }
        code
    });
    gateway.wait_for_metric(STATE, &route("closed"), 1.0).await;
    assert_circuit_open(&client.send(Method::GET, "/closed", &[], "").await);
    assert_eq!(probe.await.unwrap(), "policy-failed");
}

#[tokio::test]
async fn all_workers_have_one_circuit() {
    let upstream = MockService::start().await;
    let text = format!("workers: 4{}", two_routes(&upstream, "trap", SLOW));
    let gateway = TestGateway::start(&text).await;
    for _ in 0..3 {
        let failed = gateway.get_with("/closed", &BAD).await;
        assert_eq!(failed.header("x-portcullis-error"), "policy-failed");
    }
    // Each connection comes to some worker.
    for _ in 0..16 {
        assert_circuit_open(&gateway.get("/closed").await);
    }
}

#[tokio::test]
async fn a_reload_closes_the_circuit_of_a_use_that_it_changes() {
    let upstream = MockService::start().await;
    let text = two_routes(&upstream, "trap", SLOW);
    let gateway = TestGateway::start(&text).await;
    let mut client = gateway.client().await;
    fail(&mut client, "/closed", 3).await;
    gateway.reload(&format!("via: other{text}")).await.unwrap();
    assert_circuit_open(&client.send(Method::GET, "/closed", &[], "").await);
    // One that is refused changes nothing.
    let broken = text.replace("mode: trap", "mode: unheard-of");
    gateway.reload(&broken).await.unwrap_err();
    assert_circuit_open(&client.send(Method::GET, "/closed", &[], "").await);

    let changed = text.replace("mode: trap", "mode: none");
    gateway.reload(&changed).await.unwrap();
    assert_eq!(gateway.get_with("/closed", &BAD).await.status, 200);
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, STATE, &route("closed")), 0.0, "{page}");
    let without = text.replace("window: 1h", "window: 30m");
    gateway.reload(&without).await.unwrap();
    fail(&mut client, "/closed", 3).await;
    assert_circuit_open(&client.send(Method::GET, "/closed", &[], "").await);
}

#[tokio::test]
async fn a_request_without_time_does_not_count_against_the_policy() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 10s }, fault_circuit: { faults: 1, open_for: 1h }";
    let text = two_routes(&upstream, "loop", terms)
        .replace("upstream: api", "upstream: api\n    deadline: 50ms");
    let gateway = TestGateway::start(&text).await;
    for _ in 0..2 {
        let failed = gateway.get_with("/closed", &BAD).await;
        assert_eq!(failed.header("x-portcullis-error"), "policy-failed");
    }
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, STATE, &route("closed")), 0.0, "{page}");
}

#[tokio::test]
async fn without_a_circuit_a_policy_is_asked_each_time() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&two_routes(&upstream, "trap", "limits: { time: 10s }")).await;
    let mut client = gateway.client().await;
    fail(&mut client, "/closed", 20).await;
    let page = gateway.metrics().await;
    assert!(!page.contains("portcullis_policy_circuit"), "{page}");
}
