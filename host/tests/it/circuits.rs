//! What an upstream is sent at most: at the same time, and again.

use std::time::Instant;

use http::Method;
use mock_service::{MockService, Step};
use tokio::task::JoinHandle;

use crate::support::http2::H2Upstream;
use crate::support::{Answer, TestGateway, eventually, metric};

async fn gateway_to(service: &MockService, workers: usize, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "workers: {workers}\nupstreams: {{ u: {{ endpoints: ['{}'], {keys} }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        service.url()
    ))
    .await
}

/// A request whose answer does not come as long as this is not aborted.
async fn hanging(gateway: &TestGateway) -> JoinHandle<()> {
    let mut client = gateway.client().await;
    tokio::spawn(async move {
        let _ = client.try_send(Method::GET, "/hang", &[], "").await;
    })
}

fn assert_open(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("x-portcullis-error"), "upstream-circuit-open");
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_until_one_ends() {
    for workers in [1, 2] {
        let service = MockService::start().await;
        service.script("/hang", vec![Step::Hang]);
        let gateway = gateway_to(&service, workers, "circuit: { max_requests: 2 }").await;
        let in_flight = [hanging(&gateway).await, hanging(&gateway).await];
        service.wait_for_requests(2).await;
        assert!(gateway.upstreams()[0].is_full);
        for _ in 0..4 {
            assert_open(&gateway.get("/x").await);
        }
        let overloaded = [("portcullis_outcome", "overloaded")];
        let page = gateway.metrics().await;
        assert_eq!(
            metric(&page, "portcullis_upstream_attempts_total", &overloaded),
            4.0
        );
        in_flight[0].abort();
        eventually("there is room again", async || {
            gateway.get("/x").await.status == 200
        })
        .await;
        in_flight[1].abort();
        let unused = async || gateway.upstreams()[0].circuit.requests == 0;
        eventually("nothing is in flight", unused).await;
    }
}

#[tokio::test]
async fn a_request_waits_for_a_connection_unless_too_many_do() {
    for workers in [1, 2] {
        let service = MockService::start().await;
        service.script("/hang", vec![Step::Hang]);
        let circuit = "circuit: { max_connections: 1, max_pending: 1 }";
        let gateway = gateway_to(&service, workers, circuit).await;
        let first = hanging(&gateway).await;
        service.wait_for_requests(1).await;
        let mut client = gateway.client().await;
        let second = tokio::spawn(async move { client.send(Method::GET, "/x", &[], "").await });
        let pending = async || gateway.upstreams()[0].circuit.pending == 1;
        eventually("the second one waits", pending).await;
        assert_open(&gateway.get("/y").await);
        assert!(service.requests_to("/x").is_empty());
        first.abort();
        assert_eq!(second.await.unwrap().status, 200);
        let unused = async || gateway.upstreams()[0].circuit.connections == 0;
        eventually("no connection is in use", unused).await;
        // An unused connection does not count.
        assert_eq!(gateway.get("/y").await.status, 200);
    }
}

#[tokio::test]
async fn over_http2_only_requests_are_counted() {
    let service = H2Upstream::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: ['{}'], protocol: http2, circuit: {{ max_connections: 1, max_pending: 0, max_requests: 2 }} }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        service.url()
    ))
    .await;
    let in_flight = [hanging(&gateway).await, hanging(&gateway).await];
    let mut connection = service.accept().await;
    let _held = [connection.request().await, connection.request().await];
    assert_open(&gateway.get("/x").await);
    in_flight.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_gets_504() {
    let service = MockService::start().await;
    service.script("/hang", vec![Step::Hang]);
    let keys = "circuit: { max_connections: 1 }, timeouts: { attempt: 200ms }";
    let gateway = gateway_to(&service, 1, keys).await;
    let first = hanging(&gateway).await;
    service.wait_for_requests(1).await;
    // The first one's time passes as well, so that one of several waits for all of its own.
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, "/hang", &[], "").await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    first.abort();
}

#[tokio::test]
async fn a_reload_changes_limits_and_keeps_counts() {
    let service = MockService::start().await;
    service.script("/hang", vec![Step::Hang]);
    let config = |max: u32| {
        format!(
            "upstreams: {{ u: {{ endpoints: ['{}'], circuit: {{ max_requests: {max} }} }} }}\n\
             routes: [{{ name: r, upstream: u }}]\n",
            service.url()
        )
    };
    let gateway = TestGateway::start(&config(1)).await;
    let in_flight = hanging(&gateway).await;
    service.wait_for_requests(1).await;
    gateway.reload(&config(2)).await.unwrap();
    assert_eq!(gateway.upstreams()[0].circuit.requests, 1);
    assert_eq!(gateway.get("/x").await.status, 200);
    gateway.reload(&config(1)).await.unwrap();
    assert_open(&gateway.get("/x").await);
    in_flight.abort();
}

/// Requests to an upstream that answers nothing but 503: how many it got, and how long that took.
async fn all_fail(workers: usize, budget: &str, requests: usize) -> (usize, f64, TestGateway) {
    let service = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
workers: {workers}
upstreams: {{ u: {{ endpoints: ['{}'] {budget} }} }}
policies: {{ retry: {{ component: 'builtin:retry', isolation: pooled }} }}
routes:
  - name: r
    upstream: u
    policies: [{{ use: retry, on_failure: closed, config: {{ attempts: 3, backoff: {{ base: 1ms, cap: 1ms }} }} }}]
",
        service.url()
    ))
    .await;
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.client().await;
        clients.push(tokio::spawn(async move {
            for _ in 0..requests / 4 {
                let answer = client.send(Method::GET, "/status/503", &[], "").await;
                // The service's answer, not one of the gateway's own.
                assert_eq!(answer.status, 503);
                assert_eq!(answer.header("x-portcullis-error"), "");
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    (
        service.requests().len(),
        start.elapsed().as_secs_f64(),
        gateway,
    )
}

#[tokio::test]
async fn an_upstream_that_always_fails_gets_a_fifth_more_and_ten_a_second() {
    for workers in [1, 2] {
        let (sent, seconds, gateway) = all_fail(workers, "", 400).await;
        let most = 400.0 * 1.2 + 10.0 * (seconds + 1.0) + 1.0;
        assert!(sent as f64 <= most, "{sent} in {seconds} s");
        assert!(sent >= 400 + 80, "the budget is used: {sent}");
        let page = gateway.metrics().await;
        let upstream = [("portcullis_upstream", "u")];
        let refused = metric(&page, "portcullis_retries_refused_total", &upstream);
        let retried = metric(&page, "portcullis_retries_total", &upstream);
        assert_eq!(retried, (sent - 400) as f64);
        assert!(refused > 0.0);
    }
}

#[tokio::test]
async fn the_budget_is_the_configs() {
    let none = ", retry_budget: { ratio: 0, min_retries_per_second: 0 }";
    assert_eq!(all_fail(1, none, 40).await.0, 40);
    let half = ", retry_budget: { ratio: 0.5, min_retries_per_second: 0 }";
    assert_eq!(all_fail(2, half, 40).await.0, 60);
    let plenty = ", retry_budget: { ratio: 2 }";
    assert_eq!(all_fail(1, plenty, 40).await.0, 120);
}
