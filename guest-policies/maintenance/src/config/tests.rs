use portcullis_sdk::serde_json::{self, json};

use super::*;

fn checked(value: Value) -> Result<Checked, Vec<ConfigProblem>> {
    serde_json::from_value::<Config>(value).unwrap().checked()
}

#[test]
fn nothing_at_all_is_maintenance_for_all() {
    let checked = checked(json!({})).unwrap();
    assert_eq!(checked.window, Window::default());
    assert_eq!(checked.answer.at(|| 0).status, 503);
}

#[test]
fn each_problem_names_its_place_and_the_remedy() {
    for (value, place, message) in [
        (
            json!({ "from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z" }),
            "/until",
            "after from",
        ),
        (
            json!({ "switch_secret": "" }),
            "/switch_secret",
            "name a secret",
        ),
        (json!({ "status": 199 }), "/status", "200 to 599"),
        (
            json!({ "headers": { "Connection": "close" } }),
            "/headers/connection",
            "one connection only",
        ),
        (
            json!({ "headers": { "Retry-After": "5" } }),
            "/headers/retry-after",
            "key retry_after",
        ),
        (
            json!({ "headers": { "x-a": "a\nb" } }),
            "/headers/x-a",
            "visible ASCII",
        ),
        (
            json!({ "body": { "text": "x".repeat(MAX_BODY + 1) } }),
            "/body",
            "256 KiB",
        ),
        (json!({ "body": {} }), "/body", "one of text, html and json"),
        (
            json!({ "body": { "text": "", "html": "" } }),
            "/body",
            "one of text, html and json",
        ),
        (
            json!({ "retry_after": "until" }),
            "/retry_after",
            "there is no until",
        ),
        (
            json!({ "retry_after": "1500ms" }),
            "/retry_after",
            "whole seconds",
        ),
        (
            json!({ "except": { "clients": ["10.0.0.1/8"] } }),
            "/except/clients/0",
            "write 10.0.0.0/8",
        ),
        (
            json!({ "except": { "paths": ["/a", "health"] } }),
            "/except/paths/1",
            "such as /health",
        ),
        (
            json!({ "except": { "paths": ["/a/*"] } }),
            "/except/paths/0",
            "below it",
        ),
        (
            json!({ "except": { "token": { "secret": "s" } } }),
            "/except/token",
            "header or the cookie",
        ),
        (
            json!({ "except": { "token": { "secret": "", "cookie": "c" } } }),
            "/except/token/secret",
            "name a secret",
        ),
        (
            json!({ "except": { "token": { "secret": "s", "header": "te" } } }),
            "/except/token/header",
            "name another",
        ),
    ] {
        let problems = checked(value.clone()).unwrap_err();
        assert_eq!(problems.len(), 1, "{value}: {problems:?}");
        assert!(
            problems[0].path == place && problems[0].message.contains(message),
            "{value}: {problems:?}"
        );
    }
}

#[test]
fn unknown_keys_and_types_are_refused() {
    for (value, message) in [
        (json!({ "enabled": true }), "unknown field `enabled`"),
        (json!({ "from": "tomorrow" }), "is no moment"),
        (json!({ "body": { "xml": "" } }), "unknown field `xml`"),
        (json!({ "retry_after": "5" }), "or until"),
        (
            json!({ "except": { "addresses": [] } }),
            "unknown field `addresses`",
        ),
    ] {
        let error = serde_json::from_value::<Config>(value)
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}
