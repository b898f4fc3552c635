//! The JSON Schema, and its committed copy.

use serde_json::Value;

use super::SAMPLE;
use crate::{json_schema, schema_problems};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/portcullis.schema.json");

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let expected = json_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(PATH, format!("{expected:#}\n")).unwrap();
    }
    // As values: the order of keys depends on how the rest of the workspace builds serde_json.
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        serde_json::from_str(&committed).is_ok_and(|committed: Value| committed == expected),
        "host/config/portcullis.schema.json is not what the code says; refresh it with\n  \
         UPDATE_SCHEMA=1 cargo test -p portcullis-config the_committed_schema"
    );
}

#[test]
fn the_schema_is_one_and_its_defaults_fit_it() {
    let schema = json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let sample = crate::tree::read(SAMPLE).expect("the sample is YAML").value;
    assert!(jsonschema::is_valid(&schema, &sample));
    check_properties(&schema, &schema);
}

/// Each property has a description, and its default fits its schema.
fn check_properties(root: &Value, node: &Value) {
    for (name, property) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        assert!(
            property.get("description").is_some(),
            "{name} has a description"
        );
        if let Some(default) = property.get("default") {
            let mut schema = property.clone();
            schema["$defs"] = root["$defs"].clone();
            assert!(jsonschema::is_valid(&schema, default), "{name}: {default}");
        }
    }
    for definition in node
        .get("$defs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        check_properties(root, definition.1);
    }
}

#[test]
fn a_schema_of_others_has_the_same_words() {
    let schema = serde_json::json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "pattern": "^[a-z]+$", "minLength": 2 },
            "rate": { "type": "integer", "minimum": 1 },
            "share": { "type": "number", "maximum": 1 },
            "items": { "$ref": "#/$defs/Items" },
            "level": { "enum": [1, "all"] },
            "mode": { "oneOf": [{ "const": "open" }, { "const": "closed" }] },
            "either": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
            "never": false,
            "none": { "type": "object", "additionalProperties": false },
            "codes": { "patternProperties": { "^[0-9]+$": {} }, "additionalProperties": false },
        },
        "$defs": {
            "Items": { "type": "array", "minItems": 2, "maxItems": 3, "items": { "type": "string" } },
        },
    });
    for (value, pointer, message) in [
        (r#"{}"#, "", "missing key \"name\""),
        (
            r#"{ "name": "ab", "raet": 5 }"#,
            "/raet",
            "unknown key; did you mean \"rate\"? known: codes, either, items, level, mode, name, never, none, rate, share",
        ),
        (
            r#"{ "name": 5 }"#,
            "/name",
            "expected a text, found the number 5: quote it",
        ),
        (
            r#"{ "name": "AB" }"#,
            "/name",
            "expected a text that matches ^[a-z]+$, found \"AB\"",
        ),
        (
            r#"{ "name": "a" }"#,
            "/name",
            "must have at least 2 characters",
        ),
        (
            r#"{ "name": "ab", "rate": 0 }"#,
            "/rate",
            "must be at least 1, found 0",
        ),
        (
            r#"{ "name": "ab", "share": 2 }"#,
            "/share",
            "must be at most 1, found 2",
        ),
        (
            r#"{ "name": "ab", "items": ["a"] }"#,
            "/items",
            "must have at least 2 items",
        ),
        (
            r#"{ "name": "ab", "items": ["a", {}] }"#,
            "/items/1",
            "expected a text, found a mapping",
        ),
        (
            r#"{ "name": "ab", "items": ["a", "b", "c", "d"] }"#,
            "/items",
            "must have at most 3 items",
        ),
        (
            r#"{ "name": "ab", "level": 2 }"#,
            "/level",
            "the number 2 is not one of 1 or \"all\"",
        ),
        (
            r#"{ "name": "ab", "mode": "opne" }"#,
            "/mode",
            "expected one of open, closed, found \"opne\"; did you mean \"open\"?",
        ),
        (
            r#"{ "name": "ab", "either": [] }"#,
            "/either",
            "a list is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        (
            r#"{ "name": "ab", "never": 1 }"#,
            "/never",
            "False schema does not allow the number 1",
        ),
        (
            r#"{ "name": "ab", "none": { "a": 1 } }"#,
            "/none",
            "there are no settings here yet: write {}",
        ),
        (
            r#"{ "name": "ab", "codes": { "a/b~": 1 } }"#,
            "/codes/a~1b~0",
            "expected a key that matches ^[0-9]+$",
        ),
    ] {
        let value = serde_json::from_str(value).unwrap();
        assert_eq!(
            schema_problems(&schema, &value),
            Ok(vec![(pointer.to_owned(), message.to_owned())]),
            "{value}"
        );
    }
    assert!(schema_problems(&serde_json::json!({ "type": 5 }), &Value::Null).is_err());
}
