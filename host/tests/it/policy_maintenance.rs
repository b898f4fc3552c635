//! maintenance: a switch that an operator throws while the gateway serves.

use mock_service::MockService;

use crate::policy_config::{closed, config, policy_on};
use crate::support::TestGateway;

#[tokio::test]
async fn a_switch_in_a_secret_is_thrown_without_another_config() {
    let upstream = MockService::start().await;
    let folder = tempfile::tempdir().unwrap();
    let switch = folder.path().join("switch");
    std::fs::write(&switch, "off\n").unwrap();
    let terms = "grants: { secrets: [switch] }, limits: { time: 10s }";
    let policies = [policy_on("m", "maintenance", terms)];
    let use_config = "{ switch_secret: switch, body: { html: '<p>soon' }, retry_after: 60s, except: { paths: [/r/health] } }";
    let routes = [("r", vec![closed("m", use_config)])];
    let text = config(&upstream.url(), &policies, &routes);
    let text = format!(
        "secrets: {{ switch: {{ file: {} }} }}\n{text}",
        switch.display()
    );
    let gateway = TestGateway::start(&text).await;
    assert_eq!(gateway.get("/r/echo").await.status, 200);

    std::fs::write(&switch, "on\n").unwrap();
    gateway.reload(&text).await.unwrap();
    let answer = gateway.get("/r/echo").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (503, "<p>soon")
    );
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!(gateway.get("/r/health").await.status, 200);
}
