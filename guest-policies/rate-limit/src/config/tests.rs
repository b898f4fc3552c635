//! What a config may say, and what is said about one that may not.

use serde_json::{Value, json};

use super::*;

fn config(value: Value) -> Config {
    serde_json::from_value(value).unwrap()
}

fn with_limit(change: Value) -> Config {
    let mut limit = json!({ "name": "token", "key": "client_address", "rate": 100, "per": "1m" });
    limit
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    config(json!({ "limits": [limit] }))
}

fn problems(config: &Config) -> Vec<(String, String)> {
    config
        .limits()
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}

#[test]
fn the_documented_example_is_read() {
    let config = config(json!({
        "limits": [{
            "name": "token", "key": { "header": "X-Api-Key", "or": "client_address" },
            "rate": 100, "per": "1m", "burst": 20,
        }],
    }));
    assert_eq!(config.on_store_error, OnStoreError::Closed);
    let limits = config.limits().unwrap();
    assert_eq!(limits.rates(), [Rate::new(100, 60_000_000, 20)]);
    assert_eq!(limits.policy_field(), r#""token";q=100;w=60"#);
    let or = Some(Box::new(Selector::ClientAddress));
    assert_eq!(
        Selector::from(&config.limits[0].key.selectors()[0]),
        Selector::Header {
            name: "x-api-key".into(),
            or
        }
    );
}

#[test]
fn keys_combine() {
    let config = with_limit(json!({ "key": ["route", { "header": "x-user" }] }));
    assert_eq!(config.limits[0].key.selectors().len(), 2);
    assert_eq!(problems(&config), []);
}

#[test]
fn the_burst_defaults_to_the_rate_up_to_a_thousand() {
    for (rate, burst) in [(1, 1), (100, 100), (1_000, 1_000), (50_000, 1_000)] {
        assert_eq!(with_limit(json!({ "rate": rate })).limits[0].burst(), burst);
    }
}

#[test]
fn each_problem_names_its_place() {
    for (change, place, message) in [
        (json!({ "name": "" }), "name", "must be 1 to 64"),
        (json!({ "name": "a\"b" }), "name", "must be 1 to 64"),
        (json!({ "name": "x".repeat(65) }), "name", "must be 1 to 64"),
        (json!({ "rate": 0 }), "rate", "at least 1"),
        (json!({ "burst": 0 }), "burst", "at least 1"),
        (json!({ "per": "999ms" }), "per", "whole seconds"),
        (json!({ "per": "1500ms" }), "per", "whole seconds"),
        (json!({ "per": "0s" }), "per", "whole seconds"),
        (json!({ "per": "745h" }), "per", "whole seconds"),
        (
            json!({ "rate": 100_001, "per": "1s" }),
            "rate",
            "at most 100000",
        ),
        (
            json!({ "rate": 1, "per": "1h", "burst": 745 }),
            "burst",
            "31 days",
        ),
        (
            json!({ "key": { "header": "x y" } }),
            "key",
            "\"x y\" is no header name",
        ),
        (json!({ "key": [] }), "key", "1 to 4"),
        (
            json!({ "key": ["route", "route", "route", "route", "route"] }),
            "key",
            "1 to 4",
        ),
        (
            json!({ "key": { "header": "a", "or": { "header": "b", "or": { "header": "c", "or":
            { "header": "d", "or": "route" } } } } }),
            "key",
            "in a row",
        ),
    ] {
        let found = problems(&with_limit(change.clone()));
        assert_eq!(found.len(), 1, "{change} {found:?}");
        assert_eq!(found[0].0, format!("/limits/0/{place}"), "{change}");
        assert!(found[0].1.contains(message), "{change} {found:?}");
    }
}

#[test]
fn the_number_and_the_names_of_limits_are_checked() {
    assert_eq!(problems(&config(json!({ "limits": [] })))[0].0, "/limits");
    let limit =
        |i: usize| json!({ "name": format!("l{i}"), "key": "route", "rate": 1, "per": "1s" });
    assert_eq!(
        problems(&config(
            json!({ "limits": (0..8).map(limit).collect::<Vec<_>>() })
        )),
        []
    );
    assert_eq!(
        problems(&config(
            json!({ "limits": (0..9).map(limit).collect::<Vec<_>>() })
        ))[0]
            .0,
        "/limits"
    );
    let twice = config(json!({ "limits": [limit(0), limit(1), limit(0)] }));
    assert_eq!(
        problems(&twice),
        [(
            "/limits/2/name".to_owned(),
            "is the name of an earlier limit".to_owned()
        )]
    );
}

#[test]
fn unknown_keys_and_words_are_refused_with_what_is_expected() {
    let limit =
        |key: Value| json!({ "limits": [{ "name": "a", "key": key, "rate": 1, "per": "1s" }] });
    for (value, message) in [
        (
            limit(json!("client_adress")),
            "expected client_address, route, { header",
        ),
        (
            limit(json!(["x-api-key", "route"])),
            "expected client_address, route, { header",
        ),
        (
            limit(json!({ "header": "a", "else": "route" })),
            "expected client_address, route, { header",
        ),
        (
            json!({ "limits": [], "on_error": "open" }),
            "unknown field `on_error`",
        ),
        (
            json!({ "limits": [], "on_store_error": "local" }),
            "unknown variant `local`",
        ),
        (json!({}), "missing field `limits`"),
    ] {
        let error = serde_json::from_value::<Config>(value.clone())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_schema_describes_every_field() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let limit = &schema["$defs"]["LimitConfig"]["properties"];
    for field in ["name", "key", "rate", "per", "burst"] {
        assert!(limit[field]["description"].is_string(), "{field}: {limit}");
    }
    assert_eq!(limit["name"]["maxLength"], MAX_NAME);
    assert_eq!(schema["properties"]["limits"]["maxItems"], MAX_LIMITS);
    assert_eq!(schema["additionalProperties"], false);
    let header = &schema["$defs"]["SelectorConfig"]["anyOf"][1];
    assert_eq!(header["additionalProperties"], false, "{header}");
    assert_eq!(header["properties"]["header"]["maxLength"], MAX_NAME);
}
