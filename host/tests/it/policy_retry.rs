//! The builtin retry policy with the gateway's bounds around it: what it asks for, what an upstream in trouble sees of it, and
//! how much it helps. `--nocapture` shows the figures.

use std::time::Duration;

use http::Method;
use mock_service::{MockService, Settings, Step};

use crate::support::{TestClient, TestGateway, metric, within};

/// Delays that take no time worth mentioning.
const FAST: &str = "backoff: { base: 1ms, cap: 1ms }";
/// Clients at the same time.
const CLIENTS: usize = 8;

struct Setup<'a> {
    endpoints: String,
    upstream: &'a str,
    policy: &'a str,
    route: &'a str,
    retry: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            endpoints: String::new(),
            upstream: "",
            policy: "",
            route: "deadline: 20s,",
            retry: FAST,
        }
    }
}

impl Setup<'_> {
    async fn start(&self) -> TestGateway {
        let Self {
            endpoints,
            upstream,
            policy,
            route,
            retry,
        } = self;
        TestGateway::start(&format!(
            "
upstreams: {{ u: {{ endpoints: [{endpoints}], timeouts: {{ attempt: 5s }}, {upstream} }} }}
policies: {{ retry: {{ component: 'builtin:retry', isolation: pooled, grants: {{ metrics: {{}} }}, {policy} }} }}
routes:
  - {{ name: r, upstream: u, {route} policies: [{{ use: retry, on_failure: closed, config: {{ {retry} }} }}] }}
"
        ))
        .await
    }
}

/// A service that keeps no bodies and remembers how often it was asked.
async fn counting_service() -> MockService {
    let settings = Settings {
        kept_requests: 100_000,
        keeps_bodies: false,
        ..Settings::default()
    };
    MockService::with(settings).await.unwrap()
}

/// How many of so many requests to `/x` have succeeded, sent by several clients at the same time.
async fn succeeded(gateway: &TestGateway, requests: usize) -> usize {
    let clients = (0..CLIENTS).map(|_| {
        let (address, requests) = (gateway.address, requests / CLIENTS);
        tokio::spawn(async move {
            let (mut client, mut good) = (TestClient::connect(address).await, 0);
            for _ in 0..requests {
                let answer = client.send(Method::GET, "/x", &[], "").await;
                good += usize::from(answer.status == 200);
            }
            good
        })
    });
    let mut good = 0;
    for client in clients.collect::<Vec<_>>() {
        good += within(client).await.unwrap();
    }
    good
}

/// Answers of which 30 % are failures, each by itself: the same ones each time.
fn flaky_steps(count: usize) -> Vec<Step> {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut state = 42u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let mut step = || {
        if next() % 100 < 30 {
            Step::Status(503)
        } else {
            Step::Status(200)
        }
    };
    (0..count).map(|_| step()).collect()
}

fn decisions(page: &str, outcome: &str) -> f64 {
    metric(
        page,
        "policy_retry_decisions_total",
        &[("outcome", outcome)],
    )
}

#[tokio::test]
async fn an_upstream_that_always_fails_sees_a_fifth_more_requests() {
    const REQUESTS: usize = 4_000;
    for (upstream, free_a_second) in [
        ("retry_budget: { min_retries_per_second: 0 }", 0.0),
        ("", 10.0),
    ] {
        let service = counting_service().await;
        service.script("/x", vec![Step::Status(503)]);
        let setup = Setup {
            endpoints: service.url(),
            upstream,
            ..Setup::default()
        };
        let gateway = setup.start().await;
        let start = std::time::Instant::now();
        assert_eq!(succeeded(&gateway, REQUESTS).await, 0);
        let seconds = start.elapsed().as_secs_f64();
        let seen = service.requests().len() as f64;
        let most = REQUESTS as f64 * 1.2 + free_a_second * (seconds + 1.0);
        println!(
            "{REQUESTS} requests in {seconds:.1} s, all failing, {upstream:?}: the upstream has seen {seen}, at most {most:.0}"
        );
        assert!(seen <= most, "{seen} of {most}");
        assert!(seen >= REQUESTS as f64 * 1.19, "{seen}");
        let page = gateway.metrics().await;
        let refused = metric(&page, "portcullis_retries_refused_total", &[]);
        assert_eq!(
            decisions(&page, "retried"),
            seen - REQUESTS as f64 + refused
        );
    }
}

#[tokio::test]
async fn failures_that_come_by_chance_are_left_as_often_as_arithmetic_says() {
    const REQUESTS: usize = 8_000;
    for (attempts, expected) in [(1, 0.7), (3, 0.973), (6, 0.999_271)] {
        let service = counting_service().await;
        service.script("/x", flaky_steps(2 * REQUESTS));
        let retry = format!("attempts: {attempts}, {FAST}");
        let setup = Setup {
            endpoints: service.url(),
            upstream: "retry_budget: { ratio: 1.0 }",
            route: "deadline: 20s, max_attempts: 6,",
            retry: &retry,
            ..Setup::default()
        };
        let gateway = setup.start().await;
        let share = succeeded(&gateway, REQUESTS).await as f64 / REQUESTS as f64;
        println!(
            "30 % of answers fail by chance, {attempts} attempts: {:.2} % succeed, in theory {:.2} %",
            share * 100.0,
            expected * 100.0
        );
        let deviation = (expected * (1.0 - expected) / REQUESTS as f64).sqrt();
        assert!((share - expected).abs() < 4.0 * deviation, "{share}");
    }
}

#[tokio::test]
async fn failures_of_some_endpoints_are_made_up_for_by_others() {
    const REQUESTS: usize = 8_000;
    let mut services = Vec::new();
    for n in 0..10 {
        let service = counting_service().await;
        if n % 3 == 1 {
            service.script("/x", vec![Step::Status(503)]);
        } else {
            service.script("/x", vec![Step::Status(200)]);
        }
        services.push(service);
    }
    let endpoints: Vec<_> = services.iter().map(MockService::url).collect();
    let (one_of_three, three_of_ten) = (endpoints[..3].join(", "), endpoints.join(", "));
    let detection = "outlier_detection: { consecutive_failures: 5 }";
    // A retry avoids the last endpoint alone: of ten, each further attempt finds one of the two other bad ones
    // 2 times in 9.
    let unaided = 1.0 - 0.3 * (2.0 / 9.0f64).powi(2);
    for (endpoints, detection, retry, least) in [
        (&three_of_ten, "", "attempts: 1, ", 0.7 - 0.01),
        (&three_of_ten, "", "", unaided - 0.01),
        (&three_of_ten, detection, "", 0.999),
        (&one_of_three, "", "", 1.0),
    ] {
        let retry = format!("{retry}{FAST}");
        let upstream = format!("retry_budget: {{ ratio: 1.0 }}, {detection}");
        let setup = Setup {
            endpoints: endpoints.clone(),
            upstream: &upstream,
            retry: &retry,
            ..Setup::default()
        };
        let gateway = setup.start().await;
        let share = succeeded(&gateway, REQUESTS).await as f64 / REQUESTS as f64;
        let count = endpoints.split(',').count();
        println!(
            "{} of {count} endpoints fail, {detection:?}, {retry:?}: {:.2} % succeed",
            (count + 1) / 3,
            share * 100.0
        );
        assert!(share >= least, "{detection} {retry}: {share}");
    }
}

#[tokio::test]
async fn a_success_costs_one_call_of_the_gateway() {
    let service = MockService::start().await;
    let setup = Setup {
        endpoints: service.url(),
        policy: "limits: { host_calls: 1 }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    assert_eq!(gateway.get("/x").await.status, 200);
    assert_eq!(gateway.get("/status/404").await.status, 404);
    // With one call no more than the status is seen of a failure: the policy fails, and so does the request.
    assert_eq!(
        gateway.get("/fail/9").await.header("x-portcullis-error"),
        "policy-failed"
    );
}

#[tokio::test]
async fn decorrelated_delays_remember_the_last_one() {
    let service = MockService::start().await;
    let setup = Setup {
        endpoints: service.url(),
        retry: "attempts: 4, backoff: { jitter: decorrelated, base: 20ms, cap: 2s }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    assert_eq!(gateway.get("/fail/9").await.status, 503);
    let requests = service.requests();
    assert_eq!(requests.len(), 4);
    for request in &requests[1..] {
        let delay = request.since_previous.unwrap();
        // The upper end is not looked at: a busy machine adds to it.
        assert!(delay >= Duration::from_millis(20), "{delay:?}");
    }
}

#[tokio::test]
async fn a_marked_answer_and_a_grpc_status_are_tried_again() {
    let service = MockService::start().await;
    let marked = Step::respond(409, "").with_header("x-retry", "true");
    service.script("/marked", vec![marked, Step::Status(200)]);
    let unavailable = Step::respond(200, "").with_header("grpc-status", "14");
    service.script(
        "/grpc",
        vec![
            unavailable,
            Step::respond(200, "").with_header("grpc-status", "0"),
        ],
    );
    let retry =
        format!("on: [grpc_unavailable], on_header: {{ name: x-retry, value: 'true' }}, {FAST}");
    let setup = Setup {
        endpoints: service.url(),
        retry: &retry,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    assert_eq!(gateway.get("/marked").await.status, 200);
    assert_eq!(gateway.get("/grpc").await.header("grpc-status"), "0");
    assert_eq!(service.requests().len(), 4);
}

#[tokio::test]
async fn each_decision_is_counted() {
    let service = MockService::start().await;
    let setup = Setup {
        endpoints: service.url(),
        route: "deadline: 2s, replay_buffer: 10B,",
        retry: "attempts: 2, retry_after_cap: 3s, backoff: { base: 1ms, cap: 1ms }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut client = gateway.client().await;
    for (method, path, body) in [
        (Method::GET, "/x", ""),
        (Method::GET, "/status/404", ""),
        (Method::GET, "/status/500", ""),
        (Method::GET, "/fail/9", ""),
        (Method::POST, "/fail/9", "order"),
        (Method::PUT, "/fail/9", "a body that is too long"),
        (Method::GET, "/status/503?retry_after=4", ""),
        (Method::GET, "/status/503?retry_after=3", ""),
    ] {
        client.send(method, path, &[], body).await;
    }
    let page = gateway.metrics().await;
    for outcome in [
        "retried",
        "attempts_used",
        "not_idempotent",
        "not_replayable",
        "not_retriable",
        "retry_after_too_long",
        "no_time_left",
    ] {
        assert_eq!(decisions(&page, outcome), 1.0, "{outcome}\n{page}");
    }
}
