//! The policy jwt in a running gateway: tokens that PyJWT and Authlib have issued, key sets of an issuer, attacks.

use std::fs;

use mock_service::{MockService, Step};
use serde_json::{Value, json};

use crate::policy_config::{builtin, closed, config, received};
use crate::support::peers::run_script;
use crate::support::{Answer, TestGateway, eventually, metric};

/// What the script has issued.
async fn issued() -> Value {
    let printed = run_script("issue_tokens.py", &[]).await;
    serde_json::from_str(&printed).unwrap()
}

/// A gateway with the policy on route `r`, the secret `hs` and an upstream `idp`.
async fn gateway(api: &MockService, idp: &str, secret: &str, config_json: &Value) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hs");
    fs::write(&file, secret).unwrap();
    let grants = "grants: { kv: {}, metrics: {}, secrets: [hs], outcall: { upstreams: [idp] } }";
    let terms = format!("{grants}, limits: {{ time: 10s }}");
    let uses = [("r", vec![closed("jwt", &config_json.to_string())])];
    let text = config(&api.url(), &[builtin("jwt", &terms)], &uses);
    let upstreams = format!("upstreams: {{ idp: {{ endpoints: ['{idp}'] }}, ");
    let text = text.replacen("upstreams: { ", &upstreams, 1);
    TestGateway::start(&format!(
        "secrets: {{ hs: {{ file: {} }} }}\n{text}",
        file.display()
    ))
    .await
}

async fn with_token(gateway: &TestGateway, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-user", "root"),
    ];
    gateway.get_with("/r/x", &headers).await
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The keys of the config for all that was issued.
fn keys(issued: &Value) -> Value {
    let pem = &issued["pem"];
    json!([
        { "secret": "hs", "encoding": "base64url", "kid": "hmac", "algorithms": ["HS256", "HS384", "HS512"] },
        { "pem": pem["rsa"], "kid": "rsa" },
        { "pem": pem["p256"], "kid": "p256" },
        { "pem": pem["p384"], "kid": "p384" },
        { "pem": pem["ed25519"], "kid": "ed25519" },
    ])
}

fn rules(keys: &Value) -> Value {
    json!({
        "keys": keys,
        "issuers": ["https://idp.example"],
        "audiences": ["api"],
        "scopes": ["read"],
        "claims_to_headers": { "x-user": "sub", "x-roles": "/realm_access/roles" },
    })
}

fn key_set(refetch: &str) -> Value {
    let mut config = rules(&json!([]));
    config["jwks"] =
        json!([{ "upstream": "idp", "path": "/jwks", "refetch": refetch, "timeout": "5s" }]);
    config
}

async fn decided(gateway: &TestGateway, outcome: &str) -> f64 {
    let page = gateway.metrics().await;
    metric(&page, "policy_jwt_decisions_total", &[("outcome", outcome)])
}

#[tokio::test]
async fn tokens_of_two_libraries_are_accepted_by_every_algorithm() {
    let (api, issued) = (MockService::start().await, issued().await);
    let config = rules(&keys(&issued));
    let gateway = gateway(&api, "http://127.0.0.1:1", text(&issued, "secret"), &config).await;
    let tokens = issued["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 24);
    for token in tokens {
        let answer = with_token(&gateway, text(token, "token")).await;
        assert_eq!(answer.status, 200, "{token}: {}", answer.text());
        assert_eq!(received(&answer, "x-user"), "alice");
        assert_eq!(received(&answer, "x-roles"), "a,b");
        assert_eq!(received(&answer, "authorization"), "");
    }
    assert_eq!(decided(&gateway, "accepted").await, 24.0);
}

#[tokio::test]
async fn an_attackers_tokens_are_refused() {
    let (api, issued) = (MockService::start().await, issued().await);
    let config = rules(&keys(&issued));
    let gateway = gateway(&api, "http://127.0.0.1:1", text(&issued, "secret"), &config).await;
    let attacks = issued["attacks"].as_object().unwrap();
    for (name, token) in attacks {
        let answer = with_token(&gateway, token.as_str().unwrap()).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.contains("error=\"invalid_token\""),
            "{name}: {challenge}"
        );
    }
    assert_eq!(decided(&gateway, "expired").await, 1.0);
    let answer = gateway.get("/r/x").await;
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"portcullis\", scope=\"read\""
    );
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn keys_are_those_that_the_issuer_publishes_also_after_it_has_changed_them() {
    let (api, idp, issued) = (
        MockService::start().await,
        MockService::start().await,
        issued().await,
    );
    idp.script(
        "/jwks",
        vec![Step::respond(200, issued["jwks"].to_string())],
    );
    let gateway = gateway(&api, &idp.url(), "unused", &key_set("1s")).await;
    let tokens = issued["tokens"].as_array().unwrap();
    for token in tokens.iter().filter(|token| token["family"] != "hmac") {
        let answer = with_token(&gateway, text(token, "token")).await;
        assert_eq!(answer.status, 200, "{token}: {}", answer.text());
    }
    assert_eq!(idp.requests_to("/jwks").len(), 1, "they are kept for all");
    // A secret is nothing that could be published.
    let hmac = tokens
        .iter()
        .find(|token| token["family"] == "hmac")
        .unwrap();
    assert_eq!(with_token(&gateway, text(hmac, "token")).await.status, 401);

    idp.script(
        "/jwks",
        vec![Step::respond(200, issued["rotated_jwks"].to_string())],
    );
    let rotated = text(&issued, "rotated_token");
    eventually("the new key is fetched", async || {
        with_token(&gateway, rotated).await.status == 200
    })
    .await;
    assert_eq!(idp.requests_to("/jwks").len(), 2);
    let old = tokens
        .iter()
        .find(|token| token["algorithm"] == "RS256")
        .unwrap();
    assert_eq!(with_token(&gateway, text(old, "token")).await.status, 401);
}

#[tokio::test]
async fn an_issuer_that_is_gone_is_a_503_and_comes_back() {
    let (api, idp, issued) = (
        MockService::start().await,
        MockService::start().await,
        issued().await,
    );
    idp.script(
        "/jwks",
        vec![
            Step::Status(500),
            Step::respond(200, issued["jwks"].to_string()),
        ],
    );
    let gateway = gateway(&api, &idp.url(), "unused", &key_set("1s")).await;
    let tokens = issued["tokens"].as_array().unwrap();
    let token = tokens
        .iter()
        .find(|token| token["algorithm"] == "ES256")
        .unwrap();
    let answer = with_token(&gateway, text(token, "token")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, "1")
    );
    eventually("it is asked again", async || {
        with_token(&gateway, text(token, "token")).await.status == 200
    })
    .await;
    assert_eq!(idp.requests_to("/jwks").len(), 2);
}

#[tokio::test]
async fn an_unknown_name_has_the_issuer_asked_once_in_the_interval() {
    let (api, idp, issued) = (
        MockService::start().await,
        MockService::start().await,
        issued().await,
    );
    idp.script(
        "/jwks",
        vec![Step::respond(200, issued["jwks"].to_string())],
    );
    let gateway = gateway(&api, &idp.url(), "unused", &key_set("1h")).await;
    for _ in 0..20 {
        let answer = with_token(&gateway, text(&issued, "rotated_token")).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    assert_eq!(idp.requests_to("/jwks").len(), 1);
}
