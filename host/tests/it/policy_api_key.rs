//! The policy api-key in a running gateway, with a list in a file and with a real Redis.

use std::fs;

use mock_service::MockService;
use tempfile::TempDir;

use crate::policy_config::{builtin, closed, config, received};
use crate::support::peers::run;
use crate::support::redis::RedisServer;
use crate::support::{TestGateway, eventually, metric};

/// What `sha256sum` prints for a key.
async fn digest(folder: &TempDir, key: &str) -> String {
    let file = folder.path().join("key");
    fs::write(&file, key).unwrap();
    let printed = run("sha256sum", &[file.to_str().unwrap()]).await;
    printed.split_whitespace().next().unwrap().to_owned()
}

/// The config with a list of keys, whose policy has `config`.
fn text(api: &MockService, folder: &TempDir, redis: &str, policy_config: &str) -> String {
    let terms = "grants: { kv: {}, metrics: {}, secrets: [keys], redis: { binding: main, prefix: 'apikey:' } }, limits: { time: 10s }";
    let uses = [("r", vec![closed("api-key", policy_config)])];
    let list = folder.path().join("keys").display().to_string();
    format!(
        "secrets: {{ keys: {{ file: {list} }} }}\nredis: {{ main: {{ url: '{redis}', deadline: 5s }} }}\n{}",
        config(&api.url(), &[builtin("api-key", terms)], &uses)
    )
}

async fn status(gateway: &TestGateway, key: &str) -> u16 {
    let headers = [("x-api-key", key)];
    gateway.get_with("/r/x", &headers).await.status.as_u16()
}

#[tokio::test]
async fn keys_of_a_list_pass_and_a_reload_reads_it_again() {
    let (api, folder) = (MockService::start().await, tempfile::tempdir().unwrap());
    let line = |name: &str, digest: &str, more: &str| format!("{name} sha256:{digest} {more}\n");
    let (alice, bob) = (
        digest(&folder, "a-key").await,
        digest(&folder, "b-key").await,
    );
    let list = folder.path().join("keys");
    fs::write(
        &list,
        line("alice", &alice, "") + &line("bob", &bob, "disabled"),
    )
    .unwrap();
    let config = text(
        &api,
        &folder,
        "redis://127.0.0.1:1",
        "{ secrets: [keys], identity_header: x-consumer }",
    );
    let gateway = TestGateway::start(&config).await;

    let headers = [("x-api-key", "a-key"), ("x-consumer", "root")];
    let answer = gateway.get_with("/r/x", &headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(received(&answer, "x-consumer"), "alice");
    assert_eq!(received(&answer, "x-api-key"), "");
    assert_eq!(status(&gateway, "b-key").await, 401);
    assert_eq!(status(&gateway, &alice).await, 401);
    let answer = gateway.get("/r/x").await;
    let challenge = "ApiKey realm=\"portcullis\", in=\"header\", name=\"x-api-key\"";
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, challenge)
    );

    fs::write(
        &list,
        line("alice", &alice, "expires=2020-01-01") + &line("bob", &bob, ""),
    )
    .unwrap();
    gateway.reload(&config).await.unwrap();
    assert_eq!(status(&gateway, "a-key").await, 401);
    assert_eq!(status(&gateway, "b-key").await, 200);
    let page = gateway.metrics().await;
    let decided = |outcome| {
        metric(
            &page,
            "policy_apikey_decisions_total",
            &[("outcome", outcome)],
        )
    };
    assert_eq!(
        (decided("accepted"), decided("expired"), decided("disabled")),
        (2.0, 1.0, 1.0)
    );
}

#[tokio::test]
async fn keys_in_redis_pass_until_they_are_taken_back() {
    let (api, redis) = (MockService::start().await, RedisServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys"), "# none\n").unwrap();
    let name = format!("apikey:{}", digest(&folder, "c-key").await);
    let port = redis.port().to_string();
    let cli = async |arguments: &[&str]| {
        let port = ["-p", port.as_str()];
        run("redis-cli", &[&port[..], arguments].concat()).await
    };
    let config = text(
        &api,
        &folder,
        &redis.url(),
        "{ redis: { cache: 100ms, cache_unknown: 100ms } }",
    );
    let gateway = TestGateway::start(&config).await;
    assert_eq!(status(&gateway, "c-key").await, 401);
    cli(&["set", &name, r#"{ "name": "carol" }"#]).await;
    eventually("the key is found", async || {
        status(&gateway, "c-key").await == 200
    })
    .await;
    cli(&["set", &name, r#"{ "name": "carol", "disabled": true }"#]).await;
    eventually("it is taken back", async || {
        status(&gateway, "c-key").await == 401
    })
    .await;
    cli(&["set", &name, "carol"]).await;
    eventually("its value is no longer understood", async || {
        status(&gateway, "c-key").await == 503
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_gone_is_a_503_or_lets_pass() {
    let (api, folder) = (MockService::start().await, tempfile::tempdir().unwrap());
    fs::write(folder.path().join("keys"), "# none\n").unwrap();
    let gone = "redis://127.0.0.1:1";
    let gateway = TestGateway::start(&text(&api, &folder, gone, "{ redis: {} }")).await;
    assert_eq!(status(&gateway, "c-key").await, 503);
    let open = text(&api, &folder, gone, "{ redis: {}, on_store_error: open }");
    let gateway = TestGateway::start(&open).await;
    assert_eq!(status(&gateway, "c-key").await, 200);
    assert_eq!(
        gateway.get("/r/x").await.status,
        401,
        "without a key all the same"
    );
}
