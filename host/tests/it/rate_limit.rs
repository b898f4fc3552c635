//! The builtin rate limit with its counts in the gateway's memory.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mock_service::MockService;
use tokio::net::TcpSocket;

use crate::support::{Answer, TestClient, TestGateway, within};

/// A config with one route `r`, whose limit is `limit`.
fn config(upstream: &MockService, limit: &str) -> String {
    format!(
        "
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies: {{ limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}}, metrics: {{}} }} }} }}
routes:
  - name: r
    upstream: u
    policies: [{{ use: limit, on_failure: closed, config: {{ limits: [{{ name: token, {limit} }}] }} }}]
",
        upstream.url()
    )
}

/// Three at once, then one in ten minutes: what was used up stays so for the length of a test.
const BY_KEY: &str = "key: { header: x-api-key }, rate: 6, per: 1h, burst: 3";

async fn get_as(gateway: &TestGateway, key: &str) -> Answer {
    gateway.get_with("/x", &[("x-api-key", key)]).await
}

#[tokio::test]
async fn a_burst_passes_and_is_told_what_remains() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&config(&upstream, BY_KEY)).await;
    for (remaining, refill) in [(2, 600), (1, 1200), (0, 1800)] {
        let answer = get_as(&gateway, "a").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("ratelimit-policy"), "\"token\";q=6;w=3600");
        let field = format!("\"token\";r={remaining};t={refill}");
        assert_eq!(answer.header("ratelimit"), field);
    }
}

#[tokio::test]
async fn beyond_the_burst_is_a_429_that_tells_when_to_come_again() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&config(&upstream, BY_KEY)).await;
    for _ in 0..3 {
        assert_eq!(get_as(&gateway, "a").await.status, 200);
    }
    let denied = get_as(&gateway, "a").await;
    assert_eq!(denied.status, 429);
    let seconds: u64 = denied.header("retry-after").parse().unwrap();
    assert!((570..=600).contains(&seconds), "{seconds}");
    assert_eq!(denied.header("ratelimit-policy"), "\"token\";q=6;w=3600");
    let field = format!("\"token\";r=0;t={seconds}");
    assert_eq!(denied.header("ratelimit"), field);
    assert_eq!(denied.header("content-type"), "application/problem+json");
    let problem = denied.json();
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"], serde_json::json!(["token"]));
    assert_eq!(denied.header("x-request-id").len(), 32);
    // It is the policy's answer, not the gateway's error.
    assert_eq!(denied.header("x-portcullis-error"), "");

    assert_eq!(upstream.requests_to("/x").len(), 3);
    assert_eq!(get_as(&gateway, "b").await.status, 200);
    assert_eq!(get_as(&gateway, "a").await.status, 429);
}

#[tokio::test]
async fn decisions_are_counted_by_their_outcome() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&config(&upstream, BY_KEY)).await;
    for _ in 0..5 {
        get_as(&gateway, "a").await;
    }
    for (outcome, count) in [("allowed", 3.0), ("limited", 2.0)] {
        let labels = [
            ("limit", "token"),
            ("outcome", outcome),
            ("portcullis_policy", "limit"),
            ("portcullis_route", "r"),
        ];
        gateway
            .wait_for_metric("policy_ratelimit_decisions_total", &labels, count)
            .await;
    }
}

#[tokio::test]
async fn a_bucket_refills_at_its_rate() {
    let upstream = MockService::start().await;
    let limit = "key: { header: x-api-key }, rate: 10, per: 1s, burst: 5";
    let gateway = TestGateway::start(&config(&upstream, limit)).await;
    let mut client = gateway.client().await;
    let (start, mut admitted, mut denied) = (Instant::now(), 0, 0);
    while admitted < 15 {
        let answer = client.send(http::Method::GET, "/x", &[], "").await;
        match answer.status.as_u16() {
            200 => admitted += 1,
            429 => denied += 1,
            other => panic!("{other}"),
        }
        let most = 5.0 + 10.0 * start.elapsed().as_secs_f64();
        assert!(f64::from(admitted) <= most, "{admitted} > {most}");
    }
    assert!(denied > 0);
}

#[tokio::test]
async fn workers_that_count_at_once_admit_exactly_the_burst() {
    let upstream = MockService::start().await;
    let limit = "key: { header: x-api-key }, rate: 1, per: 1h, burst: 20";
    let config = format!("workers: 2\n{}", config(&upstream, limit));
    let gateway = TestGateway::start(&config).await;
    let clients = (0..8).map(|_| {
        let address = gateway.address;
        tokio::spawn(async move {
            let mut client = TestClient::connect(address).await;
            let mut admitted = 0;
            for _ in 0..10 {
                let answer = client.send(http::Method::GET, "/x", &[], "").await;
                admitted += usize::from(answer.status == 200);
            }
            admitted
        })
    });
    let mut admitted = 0;
    for client in clients.collect::<Vec<_>>() {
        admitted += within(client).await.unwrap();
    }
    assert_eq!(admitted, 20);
}

/// A GET from that address of this machine.
async fn get_from(gateway: &TestGateway, address: [u8; 4]) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(IpAddr::from(address), 0))
        .unwrap();
    let stream = within(socket.connect(gateway.address)).await.unwrap();
    let mut client = TestClient::over(stream, gateway.address).await;
    let answer = client.send(http::Method::GET, "/x", &[], "").await;
    answer.status.as_u16()
}

#[tokio::test]
async fn each_address_has_its_own_count_whatever_it_claims_to_be() {
    let upstream = MockService::start().await;
    let limit = "key: { header: x-api-key, or: client_address }, rate: 1, per: 1h, burst: 1";
    let gateway = TestGateway::start(&config(&upstream, limit)).await;
    let (one, two) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    assert_eq!(get_from(&gateway, one).await, 200);
    assert_eq!(get_from(&gateway, one).await, 429);
    assert_eq!(get_from(&gateway, two).await, 200);
    let spoofed = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(gateway.get_with("/x", &spoofed).await.status, 429);
    assert_eq!(get_as(&gateway, "a").await.status, 200);
}

#[tokio::test]
async fn routes_share_a_count_unless_it_is_kept_by_route() {
    let upstream = MockService::start().await;
    for (key, second) in [
        ("{ header: x-api-key }", 429),
        ("[{ header: x-api-key }, route]", 200),
    ] {
        let uses = format!(
            "[{{ use: limit, on_failure: closed, config: {{ limits: \
             [{{ name: token, key: {key}, rate: 1, per: 1h, burst: 1 }}] }} }}]"
        );
        let gateway = TestGateway::start(&format!(
            "
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies: {{ limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}} }} }} }}
routes:
  - {{ name: a, match: {{ path_prefix: /a }}, upstream: u, policies: {uses} }}
  - {{ name: b, match: {{ path_prefix: /b }}, upstream: u, policies: {uses} }}
",
            upstream.url()
        ))
        .await;
        assert_eq!(gateway.get("/a").await.status, 200);
        assert_eq!(gateway.get("/a").await.status, 429);
        assert_eq!(gateway.get("/b").await.status, second, "{key}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_counts() {
    let upstream = MockService::start().await;
    let config = config(&upstream, BY_KEY);
    let gateway = TestGateway::start(&config).await;
    for status in [200, 200, 200, 429] {
        assert_eq!(get_as(&gateway, "a").await.status, status);
    }
    let changed = config.replace("name: r\n", "name: r\n    deadline: 3s\n");
    assert_ne!(changed, config);
    gateway.reload(&changed).await.unwrap();
    assert_eq!(get_as(&gateway, "a").await.status, 429);
    assert_eq!(get_as(&gateway, "b").await.status, 200);
}

#[tokio::test]
async fn without_a_store_the_request_fails_as_configured() {
    let upstream = MockService::start().await;
    let config = config(&upstream, BY_KEY).replace("kv: {}, ", "");
    let gateway = TestGateway::start(&config).await;
    let answer = get_as(&gateway, "a").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(upstream.requests().is_empty());
}
