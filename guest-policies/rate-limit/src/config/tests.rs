//! What a config may say, and what is said about one that may not.

use serde_json::{Value, json};

use portcullis_keys::{Selector, Source};

use super::limit::MAX_NAME;
use super::*;
use crate::cost::{Cost, HeaderCost};
use crate::gcra::Rate;

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
        .check()
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
    assert_eq!((config.status, config.gateways()), (429, None));
    let (limits, _) = config.check().unwrap();
    assert_eq!(limits.policy_field(), r#""token";q=100;w=60"#);
    let limit = &limits.as_slice()[0];
    assert_eq!(limit.rate, Rate::new(100, 60_000_000, 20));
    assert_eq!(
        (&limit.cost, limit.lease, limit.is_shadow),
        (&Cost::Fixed(1), 0, false)
    );
    let sources = vec![
        Source::Header("x-api-key".to_owned()),
        Source::ClientAddress,
    ];
    assert_eq!(limit.key, [Selector { sources }]);
}

#[test]
fn costs_are_fixed_or_said_by_a_header() {
    let cost = |cost| {
        let (limits, _) = with_limit(json!({ "cost": cost })).check().unwrap();
        limits.as_slice()[0].cost.clone()
    };
    assert_eq!(cost(json!(5)), Cost::Fixed(5));
    let header = |default, min, max| {
        let name = "x-cost".to_owned();
        Cost::Header(HeaderCost {
            name,
            default,
            min,
            max,
        })
    };
    assert_eq!(cost(json!({ "header": "X-Cost" })), header(1, 1, 100));
    assert_eq!(
        cost(json!({ "header": "x-cost", "default": 2, "min": 0, "max": 10 })),
        header(2, 0, 10)
    );
}

#[test]
fn fields_are_a_word_or_a_list() {
    let told = |fields| {
        let mut value = json!({ "limits": [] });
        value["fields"] = fields;
        let told = config(value).fields.told();
        (told.draft, told.legacy)
    };
    assert_eq!(told(json!("draft")), (true, false));
    assert_eq!(told(json!("legacy")), (false, true));
    assert_eq!(told(json!("none")), (false, false));
    assert_eq!(told(json!(["draft", "legacy"])), (true, true));
}

#[test]
fn what_concerns_all_limits_is_checked() {
    let limit = json!({ "name": "a", "key": "route", "rate": 1, "per": "1s" });
    for (change, place, message) in [
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
        (
            json!({ "on_store_error": "local", "gateways": 1001 }),
            "/gateways",
            "1 to 1000",
        ),
        (json!({ "gateways": 2 }), "/gateways", "only for"),
        (json!({ "status": 200 }), "/status", "400 to 599"),
        (
            json!({ "deny": [{ "key": "client_address", "in": ["x"] }] }),
            "/deny/0/in/0",
            "no address",
        ),
        (
            json!({ "allow": [{ "key": "route", "in": [] }] }),
            "/allow/0/in",
            "1 to 1000",
        ),
    ] {
        let mut value = json!({ "limits": [limit] });
        value
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let found = problems(&config(value));
        assert_eq!(found.len(), 1, "{change} {found:?}");
        assert_eq!(found[0].0, place, "{change}");
        assert!(found[0].1.contains(message), "{change} {found:?}");
    }
    let local = config(json!({ "limits": [limit], "on_store_error": "local", "gateways": 3 }));
    assert_eq!(problems(&local), []);
    assert_eq!(local.gateways(), Some(3));
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
            "no name of a header",
        ),
        (json!({ "cost": 0 }), "cost", "1 to `burst`"),
        (json!({ "cost": 101 }), "cost", "1 to `burst`"),
        (
            json!({ "cost": { "header": "x y" } }),
            "cost/header",
            "no header name",
        ),
        (
            json!({ "cost": { "header": "x", "max": 101 } }),
            "cost/max",
            "1 to `burst`",
        ),
        (
            json!({ "cost": { "header": "x", "max": 0 } }),
            "cost/max",
            "1 to `burst`",
        ),
        (
            json!({ "cost": { "header": "x", "min": 9, "max": 8 } }),
            "cost/min",
            "at most `max`",
        ),
        (
            json!({ "cost": { "header": "x", "default": 9, "max": 8 } }),
            "cost/default",
            "`min` to `max`",
        ),
        (
            json!({ "cost": { "header": "x", "default": 0 } }),
            "cost/default",
            "`min` to `max`",
        ),
        (json!({ "lease": 0 }), "lease", "1 to `burst`"),
        (json!({ "lease": 101 }), "lease", "1 to `burst`"),
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
    let cost = |cost: Value| json!({ "limits": [{ "name": "a", "key": "route", "rate": 1, "per": "1s", "cost": cost }] });
    for (value, message) in [
        (
            limit(json!("client_adress")),
            "expected client_address, identity, route, { header",
        ),
        (
            limit(json!(["x-api-key", "route"])),
            "expected client_address, identity, route, { header",
        ),
        (
            limit(json!({ "header": "a", "else": "route" })),
            "unknown field `else`",
        ),
        (
            json!({ "limits": [], "fields": "all" }),
            "expected draft, legacy, none",
        ),
        (
            json!({ "limits": [], "fields": ["none"] }),
            "expected draft or legacy",
        ),
        (cost(json!(-1)), "expected a number of units"),
        (cost(json!("5")), "expected a number of units"),
        (cost(json!(4_294_967_296u64)), "at most 4294967295"),
        (cost(json!({ "default": 1 })), "missing field `header`"),
        (
            cost(json!({ "header": "a", "most": 1 })),
            "unknown field `most`",
        ),
        (
            json!({ "limits": [], "on_error": "open" }),
            "unknown field `on_error`",
        ),
        (
            json!({ "limits": [], "on_store_error": "remote" }),
            "unknown variant `remote`",
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
    for field in [
        "name", "key", "rate", "per", "burst", "cost", "lease", "shadow",
    ] {
        assert!(limit[field]["description"].is_string(), "{field}: {limit}");
    }
    assert_eq!(limit["name"]["maxLength"], MAX_NAME);
    assert_eq!(schema["properties"]["limits"]["maxItems"], MAX_LIMITS);
    assert_eq!(schema["additionalProperties"], false);
}
