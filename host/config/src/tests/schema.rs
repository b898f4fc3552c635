//! The JSON Schema, and its committed copy.

use serde_json::Value;

use super::SAMPLE;
use crate::json_schema;

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
