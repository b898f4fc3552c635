use portcullis_sdk::serde_json::json;

use super::*;

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema, None, false).unwrap()
}

fn refused(schema: &Value) -> (String, String) {
    let problem = Schema::compile(schema, None, false).unwrap_err();
    (problem.path, problem.message)
}

#[test]
fn mismatches_have_places_and_messages_without_the_values() {
    let schema = compile(&json!({
        "type": "object",
        "required": ["name"],
        "properties": { "name": { "type": "string", "maxLength": 3 }, "tags": { "items": { "type": "integer" } } },
        "additionalProperties": false,
    }));
    assert_eq!(schema.check(&json!({ "name": "abc" }), 10), None);
    let found = schema
        .check(&json!({ "name": "s3cret", "tags": [1, "s3cret"] }), 10)
        .unwrap();
    let pointers: Vec<&str> = found
        .listed
        .iter()
        .map(|mismatch| mismatch.pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/name", "/tags/1"]);
    assert!(!found.has_more);
    assert!(
        found
            .listed
            .iter()
            .all(|mismatch| mismatch.message.contains("the value")
                && !mismatch.message.contains("s3cret")),
        "{found:?}"
    );
    let found = schema.check(&json!({}), 10).unwrap();
    assert_eq!(
        (found.listed[0].pointer.as_str(), found.listed.len()),
        ("", 1)
    );
    assert!(
        found.listed[0]
            .message
            .contains("\"name\" is a required property"),
        "{found:?}"
    );
}

#[test]
fn no_more_are_listed_than_asked_for() {
    let schema = compile(&json!({ "items": { "type": "string" } }));
    let found = schema.check(&json!([1, 2, 3]), 2).unwrap();
    assert_eq!((found.listed.len(), found.has_more), (2, true));
    let found = schema.check(&json!([1, 2, 3]), 3).unwrap();
    assert_eq!((found.listed.len(), found.has_more), (3, false));
    assert_eq!(
        schema.check(&json!([1]), 0).unwrap(),
        Mismatches {
            listed: Vec::new(),
            has_more: true
        }
    );
}

#[test]
fn what_a_client_has_chosen_is_cut_to_a_bound() {
    let schema = compile(&json!({ "additionalProperties": { "type": "string" } }));
    let found = schema.check(&json!({ "é".repeat(500): 1 }), 1).unwrap();
    let pointer = &found.listed[0].pointer;
    assert!(
        pointer.len() <= MAX_TEXT_BYTES + "…".len() && pointer.ends_with("é…"),
        "{pointer}"
    );
    let closed = compile(&json!({ "additionalProperties": false }));
    let found = closed.check(&json!({ "x".repeat(5_000): 1 }), 1).unwrap();
    assert!(found.listed[0].message.len() <= MAX_TEXT_BYTES + "…".len());
}

#[test]
fn both_drafts_are_told_apart() {
    // `items` as a list is `prefixItems` since 2020-12, and means nothing there (draft-bhutton-json-schema-01 §10.3.1.2).
    let tuple = json!({ "items": [{ "type": "string" }] });
    let seven = Schema::compile(&tuple, Some(DraftConfig::Draft7), false).unwrap();
    assert!(seven.check(&json!([1]), 1).is_some());
    assert!(Schema::compile(&tuple, None, false).is_err());
    let named = compile(
        &json!({ "$schema": "http://json-schema.org/draft-07/schema#", "items": [{ "type": "string" }] }),
    );
    assert!(named.check(&json!([1]), 1).is_some());
    let new = compile(
        &json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{ "type": "string" }] }),
    );
    assert!(new.check(&json!([1]), 1).is_some() && new.check(&json!(["a", 1]), 1).is_none());
}

#[test]
fn formats_are_asserted_where_that_is_asked_for() {
    let schema = json!({ "format": "date-time" });
    assert!(
        Schema::compile(&schema, None, false)
            .unwrap()
            .check(&json!("tomorrow"), 1)
            .is_none()
    );
    let asserted = Schema::compile(&schema, None, true).unwrap();
    assert!(asserted.check(&json!("tomorrow"), 1).is_some());
    assert!(asserted.check(&json!("2026-01-31T22:00:00Z"), 1).is_none());
}

#[test]
fn references_within_the_schema_are_followed_and_others_refused() {
    let tree = compile(
        &json!({ "$id": "https://a.invalid/tree", "$ref": "#/$defs/node", "$defs": { "node": { "type": "object", "additionalProperties": { "$ref": "tree#/$defs/node" } } } }),
    );
    assert!(tree.check(&json!({ "a": { "b": {} } }), 1).is_none());
    assert!(tree.check(&json!({ "a": { "b": 1 } }), 1).is_some());
    for uri in [
        "https://example.com/schema.json",
        "other.json",
        "file:///etc/passwd",
        "#/$defs/none",
    ] {
        let (path, message) = refused(&json!({ "$ref": uri }));
        assert!(
            path.starts_with("/schema") && message.contains("under $defs"),
            "{uri}: {path} {message}"
        );
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (schema, place, message) in [
        (
            json!({ "properties": { "a": { "type": "strin" } } }),
            "/schema/properties/a/type",
            "is no sound schema",
        ),
        (
            json!({ "minLength": -1 }),
            "/schema/minLength",
            "is no sound schema",
        ),
        (json!("string"), "/schema", "is no sound schema"),
        (
            json!({ "$schema": "http://json-schema.org/draft-04/schema#" }),
            "/schema/$schema",
            "draft/2020-12",
        ),
        (
            json!({ "pattern": "(?=a)b" }),
            "/schema/pattern",
            "linear time",
        ),
        (json!({ "pattern": "(a" }), "/schema/pattern", "linear time"),
    ] {
        let (path, text) = refused(&schema);
        assert!(
            path == place && text.contains(message),
            "{schema}: {path} {text}"
        );
    }
    let problem = Schema::compile(
        &json!({ "$schema": "http://json-schema.org/draft-07/schema" }),
        Some(DraftConfig::Draft202012),
        false,
    )
    .unwrap_err();
    assert!(problem.message.contains("leave one of them out"));
}
