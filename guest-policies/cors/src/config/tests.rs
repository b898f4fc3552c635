use serde_json::{Value, json};

use super::*;

fn problems(value: Value) -> Vec<(String, String)> {
    let config: Config = serde_json::from_value(value).unwrap();
    let problems = config.rules().unwrap_err();
    problems
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}

fn assert_refused(value: Value, place: &str, message: &str) {
    let found = problems(value.clone());
    assert_eq!(found.len(), 1, "{value}: {found:?}");
    assert_eq!(found[0].0, place, "{value}");
    assert!(found[0].1.contains(message), "{value}: {found:?}");
}

#[test]
fn an_origin_is_enough() {
    let config: Config =
        serde_json::from_value(json!({ "origins": ["https://a.example"] })).unwrap();
    let rules = config.rules().unwrap();
    assert!(
        rules.allow("https://a.example") && !rules.allow("https://b.example") && !rules.allow_all()
    );
    assert_eq!(rules.preflight, Preflight::Answer);
    assert_eq!(rules.refused_preflight_status, 403);
    assert_eq!(rules.refused_requests, RefusedRequests::Pass);
}

#[test]
fn each_problem_names_its_place_and_the_remedy() {
    let with = |key: &str, value: Value| {
        let mut config = json!({ "origins": ["https://a.example"] });
        config[key] = value;
        config
    };
    for (value, place, message) in [
        (with("origins", json!([])), "/origins", "1 to 256"),
        (
            with("origins", json!(["https://a.example/"])),
            "/origins/0",
            "no slash",
        ),
        (
            with("origins", json!(["https://a.example", "*"])),
            "/origins/1",
            "write it alone",
        ),
        (with("methods", json!([])), "/methods", "1 to 256"),
        (
            with("methods", json!(["GET", "*"])),
            "/methods/1",
            "write it alone",
        ),
        (
            with("methods", json!(["G T"])),
            "/methods/0",
            "is no method",
        ),
        (
            with("methods", json!(["patch"])),
            "/methods/0",
            "write PATCH",
        ),
        (
            with("methods", json!(["trace"])),
            "/methods/0",
            "leave it out",
        ),
        (
            with("headers", json!(["*", "x-a"])),
            "/headers/1",
            "leave it out",
        ),
        (
            with("expose_headers", json!(["authorization", "*"])),
            "/expose_headers/0",
            "leave it out",
        ),
        (
            with("max_age", json!("1500ms")),
            "/max_age",
            "whole seconds",
        ),
        (with("max_age", json!("25h")), "/max_age", "to 24h"),
        (
            with("refused_preflight_status", json!(500)),
            "/refused_preflight_status",
            "200, 204 or 403",
        ),
    ] {
        assert_refused(value, place, message);
    }
}

#[test]
fn authorization_stands_beside_a_wildcard() {
    let config: Config =
        serde_json::from_value(json!({ "origins": ["*"], "headers": ["*", "Authorization"] }))
            .unwrap();
    assert!(config.rules().is_ok());
}

#[test]
fn credentials_refuse_each_wildcard() {
    for (key, place) in [
        ("methods", "/methods/0"),
        ("headers", "/headers/0"),
        ("expose_headers", "/expose_headers/0"),
        ("origins", "/origins/0"),
    ] {
        let mut value = json!({ "origins": ["https://a.example"], "credentials": true });
        value[key] = json!(["*"]);
        assert_refused(value, place, "set `credentials: false`");
    }
}

#[test]
fn unknown_keys_and_broken_names_are_refused_where_they_are() {
    for (value, message) in [
        (
            json!({ "origins": ["*"], "origin": "*" }),
            "unknown field `origin`",
        ),
        (json!({}), "missing field `origins`"),
        (
            json!({ "origins": ["*"], "headers": ["a b"] }),
            "is no field name",
        ),
        (
            json!({ "origins": ["*"], "preflight": "proxy" }),
            "expected `answer` or `pass`",
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
