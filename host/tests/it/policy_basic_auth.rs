//! The policy basic-auth in a running gateway, with hashes that openssl and Python have made, asked by curl.

use std::fs;

use mock_service::MockService;

use crate::policy_config::{builtin, closed, config, received};
use crate::support::peers::{curl, run};
use crate::support::{TestGateway, metric};

/// `U*U` by crypt_blowfish (wrapper.c).
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

async fn gateway(api: &MockService, users: &str, policy_config: &str) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("htpasswd");
    fs::write(&file, users).unwrap();
    let terms = "grants: { kv: {}, metrics: {}, secrets: [users] }, limits: { time: 10s }";
    let uses = [("r", vec![closed("basic-auth", policy_config)])];
    let text = config(&api.url(), &[builtin("basic-auth", terms)], &uses);
    TestGateway::start(&format!(
        "secrets: {{ users: {{ file: {} }} }}\n{text}",
        file.display()
    ))
    .await
}

/// The status that curl gets with `--user`.
async fn by_curl(gateway: &TestGateway, user: &str) -> String {
    let url = format!("http://{}/r/x", gateway.address);
    let printed = curl(&["--user", user, &url]).await;
    printed.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn users_of_an_htpasswd_file_pass_with_their_passwords() {
    let api = MockService::start().await;
    let sha512 = run("openssl", &["passwd", "-6", "open sesame"]).await;
    let users = format!("alice:{BCRYPT}\nbob:{sha512}");
    let gateway = gateway(
        &api,
        &users,
        "{ users: users, realm: site, identity_header: x-user }",
    )
    .await;
    for (user, status) in [
        ("alice:U*U", "200"),
        ("alice:U*U", "200"),
        ("bob:open sesame", "200"),
        ("alice:open sesame", "401"),
        ("bob:U*U", "401"),
        ("mallory:U*U", "401"),
        ("alice:", "401"),
    ] {
        assert_eq!(by_curl(&gateway, user).await, status, "{user}");
    }
    // alice:U*U
    let headers = [("authorization", "Basic YWxpY2U6VSpV"), ("x-user", "root")];
    let answer = gateway.get_with("/r/x", &headers).await;
    assert_eq!(received(&answer, "x-user"), "alice");
    assert_eq!(received(&answer, "authorization"), "");
    let answer = gateway.get("/r/x").await;
    let challenge = "Basic realm=\"site\", charset=\"UTF-8\"";
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, challenge)
    );
    let page = gateway.metrics().await;
    let decided = |outcome| {
        metric(
            &page,
            "policy_basicauth_decisions_total",
            &[("outcome", outcome)],
        )
    };
    assert_eq!(
        (decided("accepted"), decided("wrong"), decided("missing")),
        (4.0, 4.0, 1.0)
    );
}

#[tokio::test]
async fn a_file_without_a_usable_hash_is_a_503() {
    let api = MockService::start().await;
    let gateway = gateway(
        &api,
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n",
        "{ users: users }",
    )
    .await;
    assert_eq!(by_curl(&gateway, "alice:password").await, "503");
    assert!(api.requests().is_empty());
}
