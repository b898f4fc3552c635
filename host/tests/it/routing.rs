//! Requests find their route and reach the upstream as they should.

use mock_service::MockService;

use crate::support::TestGateway;

#[tokio::test]
async fn the_seeds_route_reaches_the_service_without_its_prefix() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ mock-service: {{ endpoints: [{}] }} }}
routes:
  - name: service1
    match: {{ path_prefix: /api/service1 }}
    rewrite: {{ strip_prefix: /api/service1 }}
    upstream: mock-service
",
        upstream.url()
    ))
    .await;
    let answer = gateway.get("/api/service1/hello?a=1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["path"], "/hello");
    assert_eq!(answer.json()["query"], "a=1");
}
