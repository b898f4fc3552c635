//! request-limit beside the gateway's own bounds: bodies with and without a length.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, policy};
use crate::support::TestGateway;
use crate::support::raw::RawConnection;

#[tokio::test]
async fn bodies_are_refused_by_their_length_and_others_left_to_the_route_s_limit() {
    let upstream = MockService::start().await;
    let policies = [policy("limit", "request-limit")];
    let uses = vec![closed("limit", "{ methods: [GET, POST], max_body: 4B }")];
    let text = config(&upstream.url(), &policies, &[("r", uses)]);
    let text = text.replace(
        "    upstream: api",
        "    upstream: api\n    limits: { body: 8B }",
    );
    let gateway = TestGateway::start(&text).await;

    assert_eq!(gateway.post("/r/echo", "four").await.status, 200);
    let refused = gateway.post("/r/echo", "fives").await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["limit"]),
        (413, &4.into())
    );
    let answer = gateway
        .client()
        .await
        .send(Method::DELETE, "/r/echo", &[], "")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, "GET, POST")
    );
    assert_eq!(upstream.requests_to("/echo").len(), 1);

    // Of unknown length, the policy lets it begin and the gateway counts.
    let mut connection = RawConnection::connect(gateway.address).await;
    let head = "POST /r/echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    connection
        .send(&format!("{head}9\r\n123456789\r\n0\r\n\r\n"))
        .await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}
