//! ip-filter: the client's address as the gateway knows it, and a list that changes while it serves.

use mock_service::MockService;

use crate::policy_config::{closed, config, policy_on};
use crate::support::TestGateway;

#[tokio::test]
async fn clients_are_known_behind_trusted_proxies() {
    let upstream = MockService::start().await;
    let policies = [policy_on("ip", "ip-filter", "limits: { time: 10s }")];
    let uses = vec![closed("ip", "{ deny: [192.0.2.0/24, '2001:db8::/32'] }")];
    let text = config(&upstream.url(), &policies, &[("r", uses)]);
    let gateway = TestGateway::start(&format!("trusted_proxies: [127.0.0.1]\n{text}")).await;
    for (client, status) in [
        ("192.0.2.9", 403),
        ("198.51.100.9", 200),
        ("2001:db8::1", 403),
        ("::ffff:192.0.2.9", 403),
    ] {
        let answer = gateway
            .get_with("/r/echo", &[("x-forwarded-for", client)])
            .await;
        assert_eq!(answer.status, status, "{client}");
    }
    assert_eq!(upstream.requests_to("/echo").len(), 1);
}

#[tokio::test]
async fn a_list_in_a_secret_changes_with_its_file() {
    let upstream = MockService::start().await;
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    std::fs::write(&list, "# nobody yet\n").unwrap();
    let terms = "grants: { secrets: [blocked] }, limits: { time: 10s }";
    let policies = [policy_on("ip", "ip-filter", terms)];
    let uses = vec![closed("ip", "{ deny_secret: blocked }")];
    let text = config(&upstream.url(), &policies, &[("r", uses)]);
    let text = format!(
        "secrets: {{ blocked: {{ file: {} }} }}\n{text}",
        list.display()
    );
    let gateway = TestGateway::start(&text).await;
    assert_eq!(gateway.get("/r/echo").await.status, 200);

    std::fs::write(&list, "127.0.0.0/8\n").unwrap();
    gateway.reload(&text).await.unwrap();
    assert_eq!(gateway.get("/r/echo").await.status, 403);
}
