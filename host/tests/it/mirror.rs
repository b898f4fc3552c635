//! Copies of requests for a second upstream, of which the client notices nothing.

use http::Method;
use mock_service::{MockService, Outcome, Step};

use crate::support::raw::RefusingAddress;
use crate::support::{TestGateway, eventually, within};

const COPIES: &str = "portcullis_mirror_requests_total";

async fn gateway(upstream: &MockService, shadow: &str, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "
upstreams:
  main: {{ endpoints: [{}] }}
  shadow: {{ endpoints: [{shadow}] }}
routes:
  - name: r
    upstream: main
    rewrite: {{ add_prefix: /v1 }}
    mirror: {{ upstream: shadow{keys} }}
",
        upstream.url()
    ))
    .await
}

async fn copies(gateway: &TestGateway, outcome: &str, count: f64) {
    let labels = [
        ("portcullis_outcome", outcome),
        ("portcullis_route", "r"),
        ("portcullis_upstream", "shadow"),
    ];
    gateway.wait_for_metric(COPIES, &labels, count).await;
}

#[tokio::test]
async fn a_copy_has_the_whole_request_and_a_mark() {
    let (main, shadow) = (MockService::start().await, MockService::start().await);
    let gateway = gateway(&main, &shadow.url(), "").await;
    let body = "x".repeat(40_000);
    let answer = gateway.post("/a?b=1", &body).await;
    assert_eq!(answer.json()["path"], "/v1/a");
    gateway.get("/c").await;
    copies(&gateway, "sent", 2.0).await;
    let copy = &shadow.requests_to("/v1/a")[0];
    assert_eq!((copy.method.as_str(), copy.query.as_str()), ("POST", "b=1"));
    assert!(copy.body == body.as_bytes());
    assert_eq!(copy.headers["x-portcullis-mirror"], "1");
    let original = &main.requests_to("/v1/a")[0];
    assert_eq!(
        copy.headers["x-request-id"],
        original.headers["x-request-id"]
    );
    assert!(!original.headers.contains_key("x-portcullis-mirror"));
    assert_eq!(shadow.requests_to("/v1/c").len(), 1);
    // Attempts are the client's.
    let labels = [("portcullis_upstream", "shadow")];
    let name = "portcullis_upstream_attempts_total";
    assert!(crate::support::metric(&gateway.metrics().await, name, &labels) == 0.0);
}

#[tokio::test]
async fn a_mirror_that_hangs_holds_nobody_up_and_its_copies_are_bounded() {
    let (main, shadow) = (MockService::start().await, MockService::start().await);
    shadow.script("/v1/", vec![Step::Hang]);
    let gateway = gateway(&main, &shadow.url(), ", timeout: 1h, max_in_flight: 3").await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        let answer = within(client.send(Method::POST, "/", &[], "text")).await;
        assert_eq!(answer.status, 200);
    }
    within(shadow.wait_for_requests(3)).await;
    copies(&gateway, "dropped", 17.0).await;
    assert_eq!((shadow.requests().len(), shadow.connections()), (3, 3));
    assert_eq!(main.requests().len(), 20);
    let all_wait = |outcome| outcome == Outcome::Pending;
    assert!(shadow.requests().iter().all(|copy| all_wait(copy.outcome)));
}

#[tokio::test]
async fn a_mirror_that_is_dead_or_late_fails_alone() {
    let main = MockService::start().await;
    let dead = RefusingAddress::take();
    let gateway_of_dead = gateway(&main, &dead.url(), "").await;
    assert_eq!(gateway_of_dead.post("/", "x").await.status, 200);
    copies(&gateway_of_dead, "failed", 1.0).await;
    let late = MockService::start().await;
    late.script("/v1/", vec![Step::Hang]);
    let gateway_of_late = gateway(&main, &late.url(), ", timeout: 20ms").await;
    assert_eq!(gateway_of_late.get("/").await.status, 200);
    copies(&gateway_of_late, "failed", 1.0).await;
}

#[tokio::test]
async fn a_body_over_the_cap_is_not_copied() {
    let (main, shadow) = (MockService::start().await, MockService::start().await);
    let gateway = gateway(&main, &shadow.url(), ", max_body: 4B").await;
    for (body, outcome) in [("12345", "dropped"), ("1234", "sent")] {
        assert_eq!(gateway.post("/", body).await.json()["path"], "/v1/");
        copies(&gateway, outcome, 1.0).await;
    }
    let copies: Vec<_> = shadow.requests();
    assert!(copies.len() == 1 && &copies[0].body[..] == b"1234");
    assert_eq!(main.requests().len(), 2);
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    let (main, shadow) = (MockService::start().await, MockService::start().await);
    let gateway = gateway(&main, &shadow.url(), ", percent: 30, max_in_flight: 10000").await;
    let mut client = gateway.client().await;
    for _ in 0..500 {
        client.send(Method::GET, "/", &[], "").await;
    }
    let copied = async || crate::support::metric(&gateway.metrics().await, COPIES, &[]);
    // Seven standard deviations (10.2) below and above 150.
    eventually("enough copies are counted", async || copied().await >= 79.0).await;
    assert!(shadow.requests().len() <= 221);
}
