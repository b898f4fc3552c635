//! Health checks: who is asked, what that changes, and what does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mock_service::{MockService, Step};
use tokio::net::TcpListener;

use crate::support::http2::H2Upstream;
use crate::support::raw::RefusingAddress;
use crate::support::{TestGateway, eventually, metric};

const QUICK: &str = "interval: 100ms, healthy_after: 2, unhealthy_after: 2";

fn config(endpoints: &[String], workers: usize, check: &str, keys: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|url| format!("'{url}'")).collect();
    format!(
        "workers: {workers}\n\
         upstreams: {{ u: {{ endpoints: [{}], health_check: {{ {check} }}, {keys} }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        endpoints.join(", ")
    )
}

async fn wait_for_health(gateway: &TestGateway, address: SocketAddr, healthy: bool) {
    let endpoint = address.to_string();
    let labels = [
        ("portcullis_upstream", "u"),
        ("portcullis_endpoint", &*endpoint),
    ];
    gateway
        .wait_for_metric("portcullis_endpoint_health", &labels, f64::from(healthy))
        .await;
}

fn requests(service: &MockService) -> usize {
    service.requests_to("/x").len()
}

async fn send(gateway: &TestGateway, count: usize) {
    for _ in 0..count {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
}

#[tokio::test]
async fn an_unhealthy_endpoint_is_left_alone_until_it_is_well_again() {
    for workers in [1, 2] {
        let services = [MockService::start().await, MockService::start().await];
        let check =
            format!("path: /ready?full=1, expect: [204, 300-399], host: probe.test, {QUICK}");
        for service in &services {
            service.script("/ready", vec![Step::Status(204)]);
        }
        let urls = services.each_ref().map(MockService::url);
        let gateway = TestGateway::start(&config(&urls, workers, &check, "")).await;
        eventually("it is asked", async || {
            !services[0].requests_to("/ready").is_empty()
        })
        .await;
        let question = services[0].requests_to("/ready").remove(0);
        assert_eq!(question.query, "full=1");
        assert_eq!(question.headers["host"], "probe.test");

        services[0].script("/ready", vec![Step::Status(200)]);
        wait_for_health(&gateway, services[0].address(), false).await;
        send(&gateway, 10).await;
        assert_eq!((requests(&services[0]), requests(&services[1])), (0, 10));

        services[0].script("/ready", vec![Step::Status(302)]);
        wait_for_health(&gateway, services[0].address(), true).await;
        send(&gateway, 10).await;
        let (first, second) = (requests(&services[0]), requests(&services[1]) - 10);
        assert!(first.abs_diff(second) <= 2 * workers, "{first} {second}");
    }
}

#[tokio::test]
async fn an_endpoint_is_asked_once_whatever_the_number_of_workers() {
    let service = MockService::start().await;
    let gateway = TestGateway::start(&config(&[service.url()], 4, QUICK, "")).await;
    service.wait_for_requests(8).await;
    let requests = service.requests_to("/");
    // The next question comes at least nine tenths of the interval after the last one's answer; those
    // of several askers would come between.
    let apart = requests.iter().filter_map(|request| request.since_previous);
    assert!(
        apart.min() >= Some(Duration::from_millis(85)),
        "{requests:?}"
    );
    drop(gateway);
}

#[tokio::test]
async fn a_silent_endpoint_is_unhealthy() {
    let services = [MockService::start().await, MockService::start().await];
    services[0].script("/", vec![Step::Hang]);
    let urls = services.each_ref().map(MockService::url);
    let check = format!("timeout: 50ms, {QUICK}");
    let gateway = TestGateway::start(&config(&urls, 1, &check, "")).await;
    wait_for_health(&gateway, services[0].address(), false).await;
    wait_for_health(&gateway, services[1].address(), true).await;
}

#[tokio::test]
async fn a_connection_is_enough_for_a_tcp_check() {
    let (down, up) = (RefusingAddress::take(), MockService::start().await);
    let urls = [down.url(), up.url()];
    let check = format!("type: tcp, {QUICK}");
    let gateway = TestGateway::start(&config(&urls, 1, &check, "")).await;
    let address = down.url().trim_start_matches("http://").parse().unwrap();
    wait_for_health(&gateway, address, false).await;
    send(&gateway, 6).await;
    assert_eq!(requests(&up), 6);
    assert_eq!(up.requests().len(), 6, "a TCP check asks for nothing");
}

#[tokio::test]
async fn a_grpc_service_says_itself_how_it_is() {
    let status = Arc::new(AtomicU8::new(1));
    let grpc = grpc_health(status.clone()).await;
    let other = MockService::start().await;
    let urls = [format!("http://{grpc}"), other.url()];
    let check = format!("type: grpc, service: shop.Orders, {QUICK}");
    let gateway = TestGateway::start(&config(&urls, 1, &check, "")).await;
    // That one speaks no HTTP/2.
    wait_for_health(&gateway, other.address(), false).await;
    wait_for_health(&gateway, grpc, true).await;
    status.store(2, Ordering::Relaxed);
    wait_for_health(&gateway, grpc, false).await;
    status.store(1, Ordering::Relaxed);
    wait_for_health(&gateway, grpc, true).await;
}

#[tokio::test]
async fn a_service_of_http2_is_asked_over_http2() {
    let service = H2Upstream::start().await;
    let config = config(
        &[service.url()],
        1,
        "path: /ready, timeout: 30s, interval: 100ms, unhealthy_after: 1, healthy_after: 1",
        "protocol: http2",
    );
    let gateway = TestGateway::start(&config).await;
    let address = service.url().trim_start_matches("http://").parse().unwrap();
    for status in [503, 200] {
        let exchange = service.accept().await.request().await;
        let (request, mut respond) = (exchange.request, exchange.respond);
        assert_eq!(request.uri().path(), "/ready");
        let answer = http::Response::builder().status(status).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
        wait_for_health(&gateway, address, status == 200).await;
    }
}

/// A gRPC health service that answers with that status, if it is asked for `shop.Orders`.
async fn grpc_health(status: Arc<AtomicU8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async move |request: Request<Incoming>, status: Arc<AtomicU8>| {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let question = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&question[..], b"\0\0\0\0\x0d\x0a\x0bshop.Orders");
        let message = [0, 0, 0, 0, 2, 8, status.load(Ordering::Relaxed)];
        let trailers = HeaderMap::from_iter([(
            "grpc-status".parse().unwrap(),
            HeaderValue::from_static("0"),
        )]);
        let body = Full::new(Bytes::copy_from_slice(&message));
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
        let answer = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(answer.body(body).unwrap())
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let status = status.clone();
            let service = service_fn(move |request| answer(request, status.clone()));
            let connection = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn when_too_few_are_healthy_all_are_used() {
    let services = [MockService::start().await, MockService::start().await];
    for service in &services {
        service.script("/", vec![Step::Status(503)]);
    }
    let urls = services.each_ref().map(MockService::url);
    let gateway = TestGateway::start(&config(&urls, 1, QUICK, "")).await;
    for service in &services {
        wait_for_health(&gateway, service.address(), false).await;
    }
    send(&gateway, 6).await;
    assert_eq!((requests(&services[0]), requests(&services[1])), (3, 3));
}

#[tokio::test]
async fn without_a_panic_threshold_nobody_is_used_when_all_are_unhealthy() {
    let service = MockService::start().await;
    service.script("/", vec![Step::Status(503)]);
    let config = config(&[service.url()], 1, QUICK, "panic_threshold: 0");
    let gateway = TestGateway::start(&config).await;
    wait_for_health(&gateway, service.address(), false).await;
    let answer = gateway.get("/x").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-portcullis-error"), "upstream-no-endpoint");
    assert_eq!(requests(&service), 0);
}

#[tokio::test]
async fn a_reload_keeps_health_and_one_without_checks_forgets_it() {
    let services = [MockService::start().await, MockService::start().await];
    services[0].script("/", vec![Step::Status(503)]);
    let urls = services.each_ref().map(MockService::url);
    let gateway = TestGateway::start(&config(&urls, 1, QUICK, "")).await;
    wait_for_health(&gateway, services[0].address(), false).await;
    let healthy = || gateway.upstreams()[0].endpoints[0].healthy;
    // Another setting of the upstream: what is known of its endpoints stays.
    let slower = config(&urls, 1, "interval: 1h", "");
    gateway.reload(&slower).await.unwrap();
    assert!(!healthy());
    // A config that is refused changes nothing.
    assert!(gateway.reload(&refused(&urls)).await.is_err());
    assert!(!healthy());
    let without = slower.replace("health_check: { interval: 1h },", "");
    gateway.reload(&without).await.unwrap();
    assert!(healthy());
    let asked = services[0].requests_to("/").len();
    send(&gateway, 4).await;
    assert_eq!(requests(&services[0]), 2);
    assert_eq!(services[0].requests_to("/").len(), asked);
}

fn refused(urls: &[String; 2]) -> String {
    let text = config(urls, 1, QUICK, "");
    text + "policies: { missing: { component: 'file:/no/such/policy.wasm' } }\n"
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_measured_no_more() {
    let services = [MockService::start().await, MockService::start().await];
    let urls = services.each_ref().map(MockService::url);
    let gateway = TestGateway::start(&config(&urls, 1, QUICK, "")).await;
    wait_for_health(&gateway, services[0].address(), true).await;
    gateway
        .reload(&config(&urls[..1], 1, QUICK, ""))
        .await
        .unwrap();
    let page = gateway.metrics().await;
    let upstream = [("portcullis_upstream", "u")];
    assert_eq!(
        metric(&page, "portcullis_endpoint_health", &upstream),
        1.0,
        "{page}"
    );
}
