//! Another attempt comes when the policy asks for it and the gateway's bounds allow it.

use std::time::{Duration, Instant};

use http::Method;
use mock_service::{MockService, RecordedRequest, Step};

use crate::support::TestGateway;
use crate::support::raw::RefusingAddress;

/// What a busy machine may add to a time that the gateway keeps.
const SLACK: Duration = Duration::from_millis(750);

/// A route with the builtin policy; `route` and `retry` are the keys that matter to the test.
async fn gateway_to(endpoints: &str, route: &str, retry: &str) -> TestGateway {
    TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: [{endpoints}], timeouts: {{ attempt: 200ms }} }} }}
policies: {{ retry: {{ component: 'builtin:retry', isolation: pooled }} }}
routes:
  - {{ name: r, upstream: u, {route} policies: [{{ use: retry, on_failure: closed, config: {{ {retry} }} }}] }}
"
    ))
    .await
}

/// Delays that take no time worth mentioning.
const FAST: &str = "backoff: { base: 1ms, cap: 1ms }";

fn since_first(requests: &[RecordedRequest], index: usize) -> Duration {
    requests[index].at - requests[0].at
}

#[tokio::test]
async fn a_flaky_service_answers_at_the_third_attempt() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "", "backoff: { base: 40ms, cap: 1s }").await;
    let answer = gateway.get("/flaky").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["attempts"], 3);
    let requests = upstream.requests_to("/flaky");
    assert_eq!(requests.len(), 3);
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.headers["x-request-id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for (index, base_ms) in [(1, 40), (2, 80)] {
        let delay = requests[index].since_previous.unwrap();
        assert!(
            delay <= Duration::from_millis(base_ms) + SLACK,
            "{index}: {delay:?}"
        );
    }
    let reason = [("portcullis_upstream", "u"), ("portcullis_reason", "503")];
    gateway
        .wait_for_metric("portcullis_retries_total", &reason, 2.0)
        .await;
}

#[tokio::test]
async fn exhausted_attempts_deliver_the_last_answer_as_it_is() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    let answer = gateway.get("/fail/9").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["attempt"], 3);
    assert_eq!(answer.header("x-portcullis-error"), "");
    assert_eq!(upstream.requests_to("/fail/9").len(), 3);
}

#[tokio::test]
async fn what_the_policy_does_not_list_is_delivered_at_once() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(
        &upstream.url(),
        "",
        "on: ['502'], backoff: { base: 1ms, cap: 1ms }",
    )
    .await;
    assert_eq!(gateway.get("/flaky").await.status, 503);
    assert_eq!(gateway.get("/status/404").await.status, 404);
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_post_that_was_sent_is_not_sent_again() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    assert_eq!(gateway.post("/flaky", "order").await.status, 503);
    assert_eq!(upstream.requests_to("/flaky").len(), 1);
    let answer = gateway.post("/reset", "order").await;
    assert_eq!(answer.header("x-portcullis-error"), "upstream-reset");
    assert_eq!(upstream.requests_to("/reset").len(), 1);
}

#[tokio::test]
async fn a_post_is_sent_again_whole_where_the_route_allows_it() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "retry_non_idempotent: true,", FAST).await;
    let body = "0123456789abcde\n".repeat(4096);
    let answer = gateway.post("/flaky", &body).await;
    assert_eq!(answer.status, 200);
    let requests = upstream.requests_to("/flaky");
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(request.body == body, "{} bytes", request.body.len());
    }
}

#[tokio::test]
async fn a_body_beyond_64_kib_is_sent_once() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    for (path, bytes, attempts) in [
        ("/fail/9?key=fits", 64 << 10, 3),
        ("/fail/9?key=too-long", (64 << 10) + 1, 1),
    ] {
        upstream.reset();
        let mut client = gateway.client().await;
        let answer = client
            .send(Method::PUT, path, &[], &"x".repeat(bytes))
            .await;
        assert_eq!(answer.status, 503);
        let requests = upstream.requests();
        assert_eq!(requests.len(), attempts, "{path}");
        assert!(requests.iter().all(|request| request.body.len() == bytes));
    }
}

#[tokio::test]
async fn the_route_says_how_much_of_a_body_is_kept() {
    let upstream = MockService::start().await;
    for (buffer, bytes, attempts) in [
        ("0B", 1, 1),
        ("100B", 100, 3),
        ("100B", 101, 1),
        ("1MiB", 1 << 20, 3),
    ] {
        upstream.reset();
        let route = format!("replay_buffer: {buffer},");
        let gateway = gateway_to(&upstream.url(), &route, FAST).await;
        let mut client = gateway.client().await;
        let body = "x".repeat(bytes);
        let answer = client.send(Method::PUT, "/fail/9", &[], &body).await;
        assert_eq!(answer.status, 503);
        assert_eq!(upstream.requests().len(), attempts, "{buffer} {bytes}");
    }
}

#[tokio::test]
async fn an_attempt_that_broke_off_the_body_is_repeated_with_all_of_it() {
    let upstream = MockService::start().await;
    upstream.script("/put", vec![Step::CloseAtHead, Step::Echo]);
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    let body = "0123456789abcde\n".repeat(2048);
    let mut client = gateway.client().await;
    let answer = client.send(Method::PUT, "/put", &[], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["body"] == body.as_str());
}

#[tokio::test]
async fn a_refused_connection_is_tried_at_the_other_endpoint() {
    let (down, upstream) = (RefusingAddress::take(), MockService::start().await);
    let endpoints = format!("{}, {}", down.url(), upstream.url());
    let gateway = gateway_to(&endpoints, "", FAST).await;
    for n in 0..6 {
        // Nothing was sent to the first one, so that even a POST may go to the second.
        let answer = gateway.post("/x", "order").await;
        assert_eq!(answer.status, 200, "{n}");
    }
    assert_eq!(upstream.requests_to("/x").len(), 6);
    let page = gateway.metrics().await;
    let refused = [("portcullis_outcome", "connect-refused")];
    let refused = crate::support::metric(&page, "portcullis_upstream_attempts_total", &refused);
    assert!(refused >= 1.0, "{page}");
}

#[tokio::test]
async fn all_endpoints_down_is_a_502_after_the_last_attempt() {
    let down = [RefusingAddress::take(), RefusingAddress::take()];
    let endpoints = format!("{}, {}", down[0].url(), down[1].url());
    let gateway = gateway_to(&endpoints, "", FAST).await;
    let answer = gateway.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.header("x-portcullis-error"),
        "upstream-connect-refused"
    );
    let reason = [("portcullis_reason", "connect-refused")];
    gateway
        .wait_for_metric("portcullis_retries_total", &reason, 2.0)
        .await;
}

#[tokio::test]
async fn the_routes_attempts_bound_a_policy_that_asks_for_more() {
    let upstream = MockService::start().await;
    let retry = "attempts: 10, backoff: { base: 1ms, cap: 1ms }";
    for (route, attempts) in [("max_attempts: 2,", 2), ("max_attempts: 1,", 1), ("", 5)] {
        upstream.reset();
        let gateway = gateway_to(&upstream.url(), route, retry).await;
        assert_eq!(gateway.get("/fail/99").await.status, 503);
        assert_eq!(upstream.requests().len(), attempts, "{route}");
    }
}

#[tokio::test]
async fn the_deadline_bounds_attempts_and_delays_together() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let deadline = Duration::from_millis(500);
    let retry = "attempts: 10, on: [timeout, '503'], backoff: { base: 50ms, cap: 60s }";
    let route = "deadline: 500ms, max_attempts: 20,";
    let gateway = gateway_to(&upstream.url(), route, retry).await;

    let start = Instant::now();
    let answer = gateway.get("/hang").await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(start.elapsed() < deadline + SLACK, "{:?}", start.elapsed());
    assert!(upstream.requests_to("/hang").len() >= 2);

    let start = Instant::now();
    let answer = gateway.get("/fail/99").await;
    assert!([503, 504].contains(&answer.status.as_u16()), "{answer:?}");
    assert!(start.elapsed() < deadline + SLACK, "{:?}", start.elapsed());
    assert!(upstream.requests_to("/fail/99").len() >= 2);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let upstream = MockService::start().await;
    let busy = Step::respond(503, "").with_header("retry-after", "1");
    upstream.script("/busy", vec![busy, Step::Status(200)]);
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    assert_eq!(gateway.get("/busy").await.status, 200);
    let waited = since_first(&upstream.requests_to("/busy"), 1);
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn a_retry_after_beyond_its_cap_or_the_deadline_is_delivered() {
    let upstream = MockService::start().await;
    for (route, retry) in [
        ("", "retry_after_cap: 1s"),
        ("deadline: 2s,", "retry_after_cap: 60s"),
    ] {
        upstream.reset();
        let gateway = gateway_to(&upstream.url(), route, retry).await;
        let answer = gateway.get("/status/503?retry_after=2").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(upstream.requests().len(), 1, "{route} {retry}");
    }
}

#[tokio::test]
async fn the_routes_bound_of_retry_after_goes_beyond_the_policys() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(
        &upstream.url(),
        "max_retry_after: 1s,",
        "retry_after_cap: 10s",
    )
    .await;
    let answer = gateway.get("/status/503?retry_after=2").await;
    assert_eq!(answer.status, 503);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_date_to_retry_after_is_waited_for() {
    let upstream = MockService::start().await;
    // By the policy, and by the gateway for policies that pass over dates.
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    for (seconds, attempts) in [(3, 2), (3600, 1)] {
        upstream.reset();
        let date = std::time::SystemTime::now() + Duration::from_secs(seconds);
        let date = httpdate::fmt_http_date(date);
        let busy = Step::respond(503, "").with_header("retry-after", &date);
        upstream.script("/busy", vec![busy, Step::Status(200)]);
        gateway.get("/busy").await;
        let requests = upstream.requests_to("/busy");
        assert_eq!(requests.len(), attempts, "{date}");
        if attempts == 2 {
            // Dates are whole seconds.
            let waited = since_first(&requests, 1);
            assert!(waited >= Duration::from_secs(1), "{waited:?}");
        }
    }
}

#[tokio::test]
async fn without_a_policy_nothing_is_tried_again() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    ))
    .await;
    assert_eq!(gateway.get("/flaky").await.status, 503);
    assert_eq!(upstream.requests_to("/flaky").len(), 1);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_tried_again() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "", FAST).await;
    let mut client = gateway.client().await;
    let broken = client.try_send(Method::GET, "/truncate", &[], "").await;
    assert!(broken.is_err());
    assert_eq!(upstream.requests_to("/truncate").len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_during_a_delay_ends_the_attempts() {
    let upstream = MockService::start().await;
    let retry = "attempts: 10, retry_after_cap: 60s";
    let gateway = gateway_to(&upstream.url(), "deadline: 1m,", retry).await;
    let mut client = crate::support::raw::RawConnection::connect(gateway.address).await;
    client
        .send("GET /status/503?retry_after=20 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let reason = [("portcullis_reason", "503")];
    gateway
        .wait_for_metric("portcullis_retries_total", &reason, 1.0)
        .await;
    drop(client);
    let left = [("http_response_status_code", "499")];
    gateway
        .wait_for_metric("http_server_request_duration_seconds_count", &left, 1.0)
        .await;
    assert_eq!(upstream.requests().len(), 1);
}
