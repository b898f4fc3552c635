//! Endpoints that fail requests are left alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use mock_service::{MockService, Step};

use crate::support::{TestClient, TestGateway, eventually, metric, within};

fn config(services: &[MockService], workers: usize, detection: &str) -> String {
    let urls: Vec<String> = services
        .iter()
        .map(|service| format!("'{}'", service.url()))
        .collect();
    format!(
        "workers: {workers}\n\
         upstreams: {{ u: {{ endpoints: [{}], outlier_detection: {{ {detection} }} }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        urls.join(", ")
    )
}

async fn two() -> [MockService; 2] {
    [MockService::start().await, MockService::start().await]
}

#[tokio::test]
async fn failures_in_a_row_eject_an_endpoint_which_returns_after_its_time() {
    for workers in [1, 2] {
        let services = two().await;
        services[0].script("/x", vec![Step::Status(503)]);
        let detection = "consecutive_failures: 3, base_ejection: 500ms";
        let gateway = TestGateway::start(&config(&services, workers, detection)).await;
        let ejected = || gateway.upstreams()[0].endpoints[0].ejected_for.is_some();
        let mut failed = 0;
        while !ejected() {
            failed += usize::from(gateway.get("/x").await.status == 503);
            assert!(failed <= 3);
        }
        assert_eq!(failed, 3);
        let reason = [
            ("portcullis_upstream", "u"),
            ("portcullis_reason", "consecutive_failures"),
        ];
        let page = gateway.metrics().await;
        assert_eq!(
            metric(&page, "portcullis_endpoint_ejections_total", &reason),
            1.0
        );
        services[0].script("/x", vec![Step::Status(200)]);
        services[0].reset();
        eventually("it returns", async || {
            assert_eq!(gateway.get("/x").await.status, 200);
            !services[0].requests().is_empty()
        })
        .await;
        assert!(!ejected());
    }
}

#[tokio::test]
async fn an_ejected_endpoint_gets_nothing() {
    let services = two().await;
    services[0].script("/x", vec![Step::Close]);
    let detection = "consecutive_failures: 1, base_ejection: 1h, max_ejection: 1h";
    let gateway = TestGateway::start(&config(&services, 1, detection)).await;
    for _ in 0..12 {
        gateway.get("/x").await;
    }
    // With the one second sending of an idempotent request it may be more than one, but only once.
    assert!(
        services[0].requests().len() <= 2,
        "{}",
        services[0].requests().len()
    );
    assert_eq!(services[1].requests().len(), 11);
}

#[tokio::test]
async fn what_a_service_refuses_is_no_failure_of_its_endpoint() {
    let services = two().await;
    for (status, path) in [
        (404, "/status/404"),
        (429, "/status/429"),
        (500, "/status/500"),
        (501, "/status/501"),
    ] {
        let gateway = TestGateway::start(&config(&services, 1, "consecutive_failures: 1")).await;
        for _ in 0..4 {
            assert_eq!(gateway.get(path).await.status, status);
        }
        let endpoints = &gateway.upstreams()[0].endpoints;
        assert!(
            endpoints
                .iter()
                .all(|endpoint| endpoint.ejected_for.is_none()),
            "{status}"
        );
    }
}

#[tokio::test]
async fn no_more_than_their_part_is_ejected() {
    let services = two().await;
    for service in &services {
        service.script("/x", vec![Step::Status(502)]);
    }
    let detection = "consecutive_failures: 1, base_ejection: 1h, max_ejection: 1h";
    let gateway = TestGateway::start(&config(&services, 2, detection)).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/x").await.status, 502);
    }
    let endpoints = &gateway.upstreams()[0].endpoints;
    let ejected = endpoints
        .iter()
        .filter(|endpoint| endpoint.ejected_for.is_some());
    assert_eq!(ejected.count(), 1);
}

#[tokio::test]
async fn too_few_successes_eject_an_endpoint() {
    let services = two().await;
    let mixed = (0..4_000).map(|n| Step::Status(if n % 2 == 0 { 200 } else { 503 }));
    services[0].script("/x", mixed.collect());
    let detection = "consecutive_failures: 1000, base_ejection: 1h, max_ejection: 1h, \
                     success_rate: { minimum: 90, interval: 200ms, min_requests: 10 }";
    let gateway = TestGateway::start(&config(&services, 1, detection)).await;
    let mut client = gateway.client().await;
    let reason = [("portcullis_reason", "success_rate")];
    eventually("it is ejected", async || {
        for _ in 0..20 {
            client.send(Method::GET, "/x", &[], "").await;
        }
        let page = gateway.metrics().await;
        metric(&page, "portcullis_endpoint_ejections_total", &reason) == 1.0
    })
    .await;
    assert!(gateway.upstreams()[0].endpoints[0].ejected_for.is_some());
}

#[tokio::test]
async fn an_endpoint_that_dies_under_load_fails_no_request_that_may_be_retried() {
    // On an address of its own, so that nobody else gets the port when it has died.
    let dying = MockService::bind(([127, 0, 0, 4], 0).into()).await.unwrap();
    let living = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
workers: 2
upstreams: {{ u: {{ endpoints: ['{}', '{}'], outlier_detection: {{ consecutive_failures: 3 }} }} }}
policies: {{ retry: {{ component: 'builtin:retry', isolation: pooled }} }}
routes:
  - name: r
    upstream: u
    policies: [{{ use: retry, on_failure: closed, config: {{ on: [connect_failure, reset], backoff: {{ base: 1ms, cap: 5ms }} }} }}]
",
        dying.url(),
        living.url()
    ))
    .await;
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served, address) = (stop.clone(), served.clone(), gateway.address);
            tokio::spawn(async move {
                let mut client = TestClient::connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.send(Method::GET, "/x", &[], "").await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    dying.wait_for_requests(50).await;
    dying.stop().await;
    let before = served.load(Ordering::Relaxed);
    eventually("the load goes on", async || {
        served.load(Ordering::Relaxed) > before + 200
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        within(client).await.unwrap();
    }
}
