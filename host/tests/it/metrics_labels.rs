//! What the metrics of requests and attempts tell apart, and that nobody outside makes series.

use http::Method;
use mock_service::{MockService, Step};
use std::time::Duration;

use crate::support::raw::RefusingAddress;
use crate::support::tls::Authority;
use crate::support::{TestGateway, eventually, metric};

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const ATTEMPTS: &str = "http_client_request_duration_seconds_count";

async fn gateway_to(endpoints: &str, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: [{endpoints}], timeouts: {{ attempt: 5s }}, {keys} }} }}
routes: [{{ name: r, match: {{ path_prefix: /r }}, rewrite: {{ strip_prefix: /r }}, upstream: u }}]
"
    ))
    .await
}

#[tokio::test]
async fn requests_are_told_apart_by_protocol_and_by_what_went_wrong() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    gateway.get("/r/x").await;
    gateway.get("/r/status/503").await;
    gateway.get("/r/reset").await;
    gateway.get("/elsewhere").await;
    let url = format!("http://{}/r/x", gateway.address);
    crate::support::peers::curl(&["--http2-prior-knowledge", &url]).await;
    crate::support::peers::curl(&["--http1.0", &url]).await;
    let of = |route, version, status, error| {
        let mut labels = vec![
            ("portcullis_route", route),
            ("network_protocol_version", version),
            ("http_response_status_code", status),
            ("url_scheme", "http"),
        ];
        labels.extend((!str::is_empty(error)).then_some(("error_type", error)));
        labels
    };
    for labels in [
        of("r", "1.1", "200", ""),
        of("r", "2", "200", ""),
        of("r", "1.0", "200", ""),
        // The service's own answer, and the gateway's.
        of("r", "1.1", "503", "503"),
        of("r", "1.1", "502", "upstream-reset"),
        of("(none)", "1.1", "404", "no-route"),
    ] {
        gateway.wait_for_metric(REQUESTS, &labels, 1.0).await;
    }
    let page = gateway.metrics().await;
    let well = page
        .lines()
        .filter(|line| line.starts_with(REQUESTS) && line.contains("\"200\""));
    assert!(
        well.clone().count() == 3 && !well.clone().any(|line| line.contains("error_type")),
        "{page}"
    );
}

#[tokio::test]
async fn attempts_are_timed_by_the_configured_endpoint() {
    let (upstream, down) = (MockService::start().await, RefusingAddress::take());
    let endpoints = format!("{}, {}", upstream.url(), down.url());
    let gateway = gateway_to(&endpoints, "").await;
    for _ in 0..2 {
        gateway.get("/r/status/418").await;
    }
    let port = upstream.url().rsplit_once(':').unwrap().1.to_owned();
    let answered = [
        ("portcullis_upstream", "u"),
        ("server_address", "127.0.0.1"),
        ("server_port", &port),
        ("http_request_method", "GET"),
        ("http_response_status_code", "418"),
        ("error_type", "418"),
    ];
    gateway.wait_for_metric(ATTEMPTS, &answered, 1.0).await;
    let refused = [
        ("error_type", "connect-refused"),
        ("portcullis_upstream", "u"),
    ];
    gateway.wait_for_metric(ATTEMPTS, &refused, 1.0).await;
    let page = gateway.metrics().await;
    let refused = page
        .lines()
        .find(|line| line.starts_with(ATTEMPTS) && line.contains("refused"));
    assert!(!refused.unwrap().contains("status_code"), "{page}");
}

#[tokio::test]
async fn overhead_is_what_is_left_of_the_time_without_the_upstream() {
    const ANSWERS_AFTER: f64 = 0.6;
    let upstream = MockService::start().await;
    let slow = Step::Echo.after(Duration::from_secs_f64(ANSWERS_AFTER));
    upstream.script("/slow", vec![slow]);
    let gateway = gateway_to(&upstream.url(), "").await;
    gateway.get("/r/slow").await;
    let route = [("portcullis_route", "r")];
    let of = "portcullis_overhead_duration_seconds";
    gateway
        .wait_for_metric(&format!("{of}_count"), &route, 1.0)
        .await;
    let page = gateway.metrics().await;
    let total = metric(&page, "http_server_request_duration_seconds_sum", &route);
    let attempts = metric(&page, "http_client_request_duration_seconds_sum", &[]);
    let overhead = metric(&page, &format!("{of}_sum"), &route);
    assert!(
        total >= ANSWERS_AFTER && attempts >= ANSWERS_AFTER,
        "{page}"
    );
    assert!(
        overhead > 0.0 && overhead < ANSWERS_AFTER / 2.0,
        "{overhead}"
    );
    assert!(overhead <= total - attempts, "{overhead}");
}

#[tokio::test]
async fn requests_under_way_are_shown_at_their_route_and_their_upstream() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url(), "circuit: { max_requests: 2 }").await;
    let hanging = [gateway.client().await, gateway.client().await].map(|mut client| {
        tokio::spawn(async move {
            client
                .try_send(Method::GET, "/r/hang", &[], "")
                .await
                .is_ok()
        })
    });
    upstream.wait_for_requests(2).await;
    let (route, of) = ([("portcullis_route", "r")], [("portcullis_upstream", "u")]);
    gateway
        .wait_for_metric("portcullis_requests_active", &route, 2.0)
        .await;
    let page = gateway.metrics().await;
    for name in ["requests", "connections"] {
        let name = format!("portcullis_upstream_{name}_active");
        assert_eq!(metric(&page, &name, &of), 2.0, "{page}");
    }
    assert_eq!(gateway.get("/r/x").await.status, 503);
    let refused = [of[0], ("portcullis_limit", "max_requests")];
    gateway
        .wait_for_metric("portcullis_upstream_circuit_refused_total", &refused, 1.0)
        .await;
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    gateway
        .wait_for_metric("portcullis_requests_active", &[], 0.0)
        .await;
    gateway
        .wait_for_metric("portcullis_upstream_requests_active", &[], 0.0)
        .await;
}

/// The number of series of a metric on the page.
fn series(page: &str, name: &str) -> usize {
    let named = page
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    named.count()
}

#[tokio::test]
async fn clients_make_no_series() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: ['{}'] }} }}
policies: {{ limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}}, metrics: {{}} }} }} }}
routes:
  - name: r
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: {{ header: x-api-key }}, rate: 1, per: 1h }}] }} }}
",
        upstream.url()
    ))
    .await;
    let mut client = gateway.client().await;
    let mut page_lines = Vec::new();
    for round in 0..2 {
        for n in 0..500 {
            let method = Method::from_bytes(format!("M{round}X{n}").as_bytes()).unwrap();
            let host = format!("h{round}-{n}.test");
            let key = format!("k{round}-{n}");
            let path = format!("/p{round}-{n}?q={n}");
            let fields = [
                ("host", &*host),
                ("x-api-key", &*key),
                ("x-request-id", &*key),
                ("user-agent", &*key),
            ];
            client.send(method, &path, &fields, "").await;
        }
        let sent = f64::from(500 * (round + 1));
        gateway.wait_for_metric(REQUESTS, &[], sent).await;
        let page = gateway.metrics().await;
        assert_eq!(series(&page, REQUESTS), 1, "{page}");
        assert_eq!(series(&page, ATTEMPTS), 1, "{page}");
        for word in ["M0X", "h0-", "k0-", "/p0"] {
            assert!(!page.contains(word), "{word}: {page}");
        }
        page_lines.push(page.lines().count());
    }
    assert_eq!(page_lines[0], page_lines[1]);
}

#[tokio::test]
async fn the_process_and_what_it_serves_are_shown() {
    let authority = Authority::new();
    authority.issue("gateway", &["gateway.test"]);
    let path = authority.path("gateway.pem").display().to_string();
    let tls = format!(
        "tls: {{ certificates: [{{ certificate: '{path}', key: '{}' }}] }}",
        authority.path("gateway.key").display()
    );
    let gateway = TestGateway::start_on(
        &tls,
        "policies: { p: { component: 'builtin:retry', isolation: pooled } }\n\
         routes: [{ name: r, respond: { status: 204 }, policies: [{ use: p, on_failure: open, config: {} }] }]",
    )
    .await;
    let page = gateway.metrics().await;
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let started = metric(&page, "process_start_time_seconds", &[]);
    let read = metric(
        &page,
        "portcullis_config_last_success_timestamp_seconds",
        &[],
    );
    assert!(
        started > now - 86_400.0 && started < read + 2.0 && read <= now,
        "{started} {read} {now}"
    );
    assert!(metric(&page, "process_cpu_seconds_total", &[]) > 0.0);
    assert!(metric(&page, "process_resident_memory_bytes", &[]) > 1e6);
    let open = metric(&page, "process_open_fds", &[]);
    assert!(
        open > 3.0 && open < metric(&page, "process_max_fds", &[]),
        "{page}"
    );
    assert!(metric(&page, "process_threads", &[]) > 1.0);
    let labels = [
        ("portcullis_listener", "http"),
        ("portcullis_certificate", &*path),
    ];
    let ends = metric(
        &page,
        "portcullis_tls_certificate_expiry_timestamp_seconds",
        &labels,
    );
    // rcgen's certificates are valid for long.
    assert!(ends > now, "{ends}");
    let version = page
        .lines()
        .find(|line| line.starts_with("portcullis_policy_version{"));
    let version = version.unwrap();
    assert!(
        version.contains("portcullis_policy=\"p\",portcullis_version=\"\"} 1"),
        "{version}"
    );
    let digest = version.split("portcullis_digest=\"").nth(1).unwrap();
    assert!(digest.split('"').next().unwrap().len() == 64, "{version}");
    eventually("a worker has been busy", async || {
        let worker = [("portcullis_worker", "0")];
        metric(
            &gateway.metrics().await,
            "portcullis_worker_busy_seconds_total",
            &worker,
        ) > 0.0
    })
    .await;
}
