use serde_json::{Value, json};

use super::*;

fn problems(config: Value) -> Vec<String> {
    let config: Config = serde_json::from_value(config).unwrap();
    let problems = config.checked().unwrap_err();
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn defaults_are_strict() {
    let config: Config =
        serde_json::from_value(json!({ "secrets": ["keys"], "redis": {} })).unwrap();
    let config = config.checked().unwrap();
    assert_eq!(config.key, [Source::Header("x-api-key".to_owned())]);
    assert!(!config.forward && !config.optional);
    assert_eq!(config.on_store_error, OnStoreError::Closed);
    assert_eq!(config.identity_header, None);
    let redis = config.redis.unwrap();
    assert_eq!(
        (redis.cache, redis.cache_unknown),
        (Duration::from_secs(10), Duration::from_secs(2))
    );
    assert_eq!(redis.prefix, "");
}

#[test]
fn slips_are_told_with_their_place() {
    let with = |mut config: Value| {
        config["secrets"] = config.get("secrets").cloned().unwrap_or(json!(["keys"]));
        config
    };
    for (config, path) in [
        (json!({}), ""),
        (with(json!({ "key": [] })), "/key"),
        (with(json!({ "key": vec!["bearer"; 5] })), "/key"),
        (with(json!({ "key": [{ "header": "a b" }] })), "/key/0"),
        (json!({ "secrets": vec!["a"; 9] }), "/secrets"),
        (
            with(json!({ "redis": { "prefix": "a".repeat(65) } })),
            "/redis/prefix",
        ),
        (with(json!({ "redis": { "cache": "2h" } })), "/redis/cache"),
        (
            with(json!({ "redis": { "cache_unknown": "2h" } })),
            "/redis/cache_unknown",
        ),
        (
            with(json!({ "identity_header": "host" })),
            "/identity_header",
        ),
        (
            with(json!({ "identity_header": "X-API-Key" })),
            "/identity_header",
        ),
        (
            with(json!({ "identity_header": "authorization", "key": ["bearer"] })),
            "/identity_header",
        ),
        (with(json!({ "realm": "" })), "/realm"),
    ] {
        assert_eq!(problems(config.clone()), [path], "{config}");
    }
}

#[test]
fn unknown_words_are_refused() {
    for (config, message) in [
        (json!({ "keys": ["a"] }), "unknown field `keys`"),
        (
            json!({ "on_store_error": "local" }),
            "unknown variant `local`",
        ),
        (json!({ "redis": { "ttl": "1s" } }), "unknown field `ttl`"),
    ] {
        let error = serde_json::from_value::<Config>(config.clone())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{config}: {error}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}
