//! json-validate: real bodies, and the component as a whole, which is the largest that comes with the gateway.

use mock_service::MockService;

use crate::policy_config::{closed, config, policy_on};
use crate::support::TestGateway;

const USE: &str = r##"{ schema: { type: object, required: [a], properties: { a: { $ref: "#/$defs/n" } }, $defs: { n: { type: integer } } } }"##;

#[tokio::test]
async fn bodies_pass_or_are_answered_with_what_is_wrong() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 10s, body: 64KiB }";
    let policies = [policy_on("v", "json-validate", terms)];
    let text = config(&upstream.url(), &policies, &[("r", vec![closed("v", USE)])]);
    let gateway = TestGateway::start(&text).await;
    let mut client = gateway.client().await;
    let json = [("content-type", "application/json")];

    let answer = client
        .send(http::Method::POST, "/r/echo", &json, r#"{ "a": 1 }"#)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = client
        .send(http::Method::POST, "/r/echo", &json, r#"{"a":"x"}"#)
        .await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/a");
    assert_eq!(upstream.requests_to("/echo").len(), 1);
}
