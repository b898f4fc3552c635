//! headers: what the gateway tells it, and what upstream and client get of it.

use mock_service::MockService;

use crate::policy_config::{closed, config, policy, received};
use crate::support::TestGateway;

const REQUEST: &str = r#"[{ set: { x-who: "${client.address} on ${route}", x-user: "${shared.identity}", x-id: "${request.id}" }, rename: { x-old: x-new } }]"#;
const RESPONSE: &str =
    r#"[{ when_status: [2xx], set: { x-told: "${response.status} of ${request.path}" } }]"#;

#[tokio::test]
async fn variables_have_the_gateway_s_values_on_both_sides() {
    let upstream = MockService::start().await;
    let policies = [policy("headers", "headers")];
    let groups = format!("{{ request: {REQUEST}, response: {RESPONSE} }}");
    let routes = [("r", vec![closed("headers", &groups)])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;

    let sent = [("x-old", "moved"), ("x-user", "forged")];
    let answer = gateway.get_with("/r/echo?a=b", &sent).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(received(&answer, "x-who"), "127.0.0.1 on r");
    assert_eq!(received(&answer, "x-new"), "moved");
    assert_eq!(received(&answer, "x-old"), "");
    assert_eq!(received(&answer, "x-user"), "");
    assert_eq!(received(&answer, "x-id"), answer.header("x-request-id"));
    // Policies see the path before it is rewritten.
    assert_eq!(answer.header("x-told"), "200 of /r/echo");
}
