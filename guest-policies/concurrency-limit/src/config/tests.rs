//! What a config may say, and what is said about one that may not.

use serde_json::{Value, json};

use super::*;

fn config(change: &Value) -> Config {
    let limit = json!({ "name": "db", "key": "client_address", "concurrency": 10 });
    let mut value = json!({ "limits": [limit] });
    value
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn problems(config: &Config) -> Vec<(String, String)> {
    let problems = config.check().err().unwrap_or_default().into_iter();
    problems
        .map(|problem| (problem.path, problem.message))
        .collect()
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let config = config(&json!({}));
    assert_eq!(problems(&config), []);
    assert_eq!(config.timeout, Duration::from_secs(60));
    assert_eq!(config.on_store_error, OnStoreError::Closed);
    assert_eq!((config.status, config.gateways()), (429, None));
    let (limits, _) = config.check().unwrap();
    assert_eq!(limits.as_slice()[0].bound, 10);
    assert!(!limits.all_watch());
}

#[test]
fn each_problem_names_its_place() {
    let limit = |name: &str, concurrency| json!({ "name": name, "key": "route", "concurrency": concurrency });
    let many: Vec<_> = (0..9).map(|i| limit(&format!("l{i}"), 1)).collect();
    for (change, place, message) in [
        (json!({ "limits": [] }), "/limits", "1 to 8"),
        (json!({ "limits": many }), "/limits", "1 to 8"),
        (
            json!({ "limits": [limit("A", 1)] }),
            "/limits/0/name",
            "1 to 64",
        ),
        (
            json!({ "limits": [limit("a", 1), limit("a", 1)] }),
            "/limits/1/name",
            "earlier limit",
        ),
        (
            json!({ "limits": [limit("a", 0)] }),
            "/limits/0/concurrency",
            "1 to 10000",
        ),
        (
            json!({ "limits": [limit("a", 10_001)] }),
            "/limits/0/concurrency",
            "1 to 10000",
        ),
        (
            json!({ "limits": [{ "name": "a", "key": [], "concurrency": 1 }] }),
            "/limits/0/key",
            "1 to 4",
        ),
        (json!({ "timeout": "999ms" }), "/timeout", "1s to 24h"),
        (json!({ "timeout": "25h" }), "/timeout", "1s to 24h"),
        (json!({ "status": 302 }), "/status", "400 to 599"),
        (
            json!({ "on_store_error": "local" }),
            "/gateways",
            "is missing",
        ),
        (
            json!({ "on_store_error": "local", "gateways": 0 }),
            "/gateways",
            "1 to 1000",
        ),
        (json!({ "gateways": 2 }), "/gateways", "only for"),
        (
            json!({ "deny": [{ "key": "client_address", "in": ["x"] }] }),
            "/deny/0/in/0",
            "no address",
        ),
    ] {
        let found = problems(&config(&change));
        assert_eq!(found.len(), 1, "{change} {found:?}");
        assert_eq!(found[0].0, place, "{change}");
        assert!(found[0].1.contains(message), "{change} {found:?}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}
