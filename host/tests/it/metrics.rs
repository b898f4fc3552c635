//! What the metrics listener tells of the traffic.

use http::Method;
use mock_service::{MockService, Step};

use crate::support::raw::RefusingAddress;
use crate::support::{TestClient, TestGateway, metric};

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const ATTEMPTS: &str = "portcullis_upstream_attempts_total";

async fn gateway_to(endpoints: &str) -> TestGateway {
    TestGateway::start(&format!(
        "
upstreams:
  u: {{ endpoints: [{endpoints}], timeouts: {{ attempt: 100ms }} }}
policies:
  limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}} }} }}
  retry: {{ component: 'builtin:retry', isolation: pooled }}
routes:
  - {{ name: plain, match: {{ path_prefix: /plain }}, upstream: u, rewrite: {{ strip_prefix: /plain }} }}
  - name: guarded
    match: {{ path_prefix: /guarded }}
    rewrite: {{ strip_prefix: /guarded }}
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: route, rate: 1000, per: 1s }}] }} }}
      - {{ use: retry, on_failure: closed, config: {{ backoff: {{ base: 1ms, cap: 1ms }} }} }}
"
    ))
    .await
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    for _ in 0..3 {
        gateway.get("/plain/x").await;
    }
    gateway.post("/plain/x", "").await;
    gateway.get("/plain/status/404").await;
    gateway.get("/guarded/x").await;
    gateway.get("/elsewhere").await;
    let mut client = gateway.client().await;
    let invented = Method::from_bytes(b"INVENTED").unwrap();
    client.send(invented, "/plain/x", &[], "").await;
    for (route, method, status, count) in [
        ("plain", "GET", "200", 3.0),
        ("plain", "POST", "200", 1.0),
        ("plain", "GET", "404", 1.0),
        ("plain", "_OTHER", "200", 1.0),
        ("guarded", "GET", "200", 1.0),
        ("(none)", "GET", "404", 1.0),
    ] {
        let labels = [
            ("portcullis_route", route),
            ("http_request_method", method),
            ("http_response_status_code", status),
        ];
        gateway.wait_for_metric(REQUESTS, &labels, count).await;
    }
    gateway.wait_for_metric(REQUESTS, &[], 8.0).await;
    let page = gateway.metrics().await;
    assert!(
        !page.contains("elsewhere") && !page.contains("INVENTED"),
        "{page}"
    );
}

#[tokio::test]
async fn hooks_of_policies_are_timed_by_policy_route_and_phase() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    gateway.get("/guarded/flaky").await;
    for (policy, phase, count) in [
        ("limit", "on-request", 1.0),
        ("limit", "on-response", 1.0),
        ("retry", "on-attempt", 3.0),
    ] {
        let labels = [
            ("portcullis_policy", policy),
            ("portcullis_route", "guarded"),
            ("portcullis_phase", phase),
        ];
        gateway
            .wait_for_metric("portcullis_policy_duration_seconds_count", &labels, count)
            .await;
        let page = gateway.metrics().await;
        let seconds = metric(&page, "portcullis_policy_duration_seconds_sum", &labels);
        assert!(
            seconds > 0.0 && seconds < 10.0,
            "{policy} {phase}: {seconds}"
        );
    }
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, "portcullis_policy_faults_total", &[]), 0.0);
}

#[tokio::test]
async fn attempts_are_counted_by_what_became_of_them_and_retries_by_their_reason() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url()).await;
    gateway.get("/guarded/flaky").await;
    gateway.get("/guarded/reset").await;
    gateway.get("/guarded/hang").await;
    gateway.get("/plain/status/301").await;
    for (outcome, count) in [
        ("5xx", 2.0),
        ("2xx", 1.0),
        ("3xx", 1.0),
        ("reset", 3.0),
        ("response-timeout", 1.0),
    ] {
        let labels = [
            ("portcullis_upstream", "u"),
            ("portcullis_outcome", outcome),
        ];
        gateway.wait_for_metric(ATTEMPTS, &labels, count).await;
    }
    for (reason, count) in [("503", 2.0), ("reset", 2.0)] {
        let labels = [("portcullis_upstream", "u"), ("portcullis_reason", reason)];
        gateway
            .wait_for_metric("portcullis_retries_total", &labels, count)
            .await;
    }
    gateway
        .wait_for_metric("portcullis_retries_total", &[], 4.0)
        .await;
}

#[tokio::test]
async fn a_refused_connection_is_an_attempt() {
    let down = RefusingAddress::take();
    let gateway = gateway_to(&down.url()).await;
    gateway.get("/plain/x").await;
    let labels = [
        ("portcullis_upstream", "u"),
        ("portcullis_outcome", "connect-refused"),
    ];
    gateway.wait_for_metric(ATTEMPTS, &labels, 1.0).await;
    let labels = [
        ("portcullis_route", "plain"),
        ("http_response_status_code", "502"),
    ];
    gateway.wait_for_metric(REQUESTS, &labels, 1.0).await;
}

#[tokio::test]
async fn open_connections_and_the_build_are_shown() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut clients = [gateway.client().await, gateway.client().await];
    for client in &mut clients {
        client.send(Method::GET, "/plain/x", &[], "").await;
    }
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 2.0)
        .await;
    drop(clients);
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    gateway
        .wait_for_metric("portcullis_build_info", &version, 1.0)
        .await;
    gateway
        .wait_for_metric("portcullis_config_revision", &[], 1.0)
        .await;
}

#[tokio::test]
async fn health_and_readiness_are_told_and_nothing_else() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    for (path, status, body) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/config", 404, ""),
    ] {
        let mut client = TestClient::connect(gateway.metrics_address()).await;
        let answer = client.send(Method::GET, path, &[], "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (status, body),
            "{path}"
        );
    }
    // The traffic's listener does not serve them.
    assert_eq!(gateway.get("/metrics").await.status, 404);
}
