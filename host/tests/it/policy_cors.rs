//! cors: what browsers' scripts get of answers that no upstream has made.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, policy, received};
use crate::support::{Answer, TestGateway};

const CORS: &str = "{ origins: ['https://a.example'], headers: [x-api-key], max_age: 60s }";
const ORIGIN: (&str, &str) = ("origin", "https://a.example");

/// Who may read the answer, and what it varies by.
fn told(answer: &Answer) -> (&str, &str) {
    (
        answer.header("access-control-allow-origin"),
        answer.header("vary"),
    )
}

#[tokio::test]
async fn answers_of_later_policies_and_of_the_gateway_can_be_read() {
    let policies = [
        policy("cors", "cors"),
        policy("require-header", "require-header"),
    ];
    let uses = vec![
        closed("cors", CORS),
        closed("require-header", "{ header: x-api-key }"),
    ];
    let text = config("http://127.0.0.1:1", &policies, &[("r", uses)]);
    let gateway = TestGateway::start(&text).await;

    let refused = gateway.get_with("/r", &[ORIGIN]).await;
    assert_eq!(refused.status, 401);
    assert_eq!(told(&refused), ("https://a.example", "Origin"));
    let failed = gateway.get_with("/r", &[ORIGIN, ("x-api-key", "k")]).await;
    assert!(failed.status.is_server_error(), "{failed:?}");
    assert_eq!(told(&failed), ("https://a.example", "Origin"));
    let foreign = gateway
        .get_with("/r", &[("origin", "https://b.example")])
        .await;
    assert_eq!(
        (foreign.status.as_u16(), told(&foreign)),
        (401, ("", "Origin"))
    );
}

#[tokio::test]
async fn a_preflight_goes_no_further() {
    let upstream = MockService::start().await;
    let policies = [
        policy("cors", "cors"),
        policy("require-header", "require-header"),
    ];
    let uses = vec![
        closed("cors", CORS),
        closed("require-header", "{ header: x-api-key }"),
    ];
    let text = config(&upstream.url(), &policies, &[("r", uses)]);
    let gateway = TestGateway::start(&text).await;
    let mut client = gateway.client().await;

    let asks = ("access-control-request-method", "PUT");
    let answer = client
        .send(Method::OPTIONS, "/r/echo", &[ORIGIN, asks], "")
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-headers"), "x-api-key");
    assert_eq!(answer.header("access-control-max-age"), "60");
    assert!(answer.body.is_empty());
    // The connection is in order behind it.
    let answer = client
        .send(Method::GET, "/r/echo", &[ORIGIN, ("x-api-key", "k")], "")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(received(&answer, "origin"), "https://a.example");
    assert_eq!(told(&answer), ("https://a.example", "Origin"));
    assert_eq!(upstream.requests_to("/echo").len(), 1);
}
