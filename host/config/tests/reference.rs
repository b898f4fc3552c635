//! The reference names every key of the schema, and loads.

use std::path::Path;

#[test]
fn the_reference_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.yaml");
    let config = portcullis_config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.routes[0].policies.len(), 2);
}

#[test]
fn the_reference_names_every_key() {
    let text = include_str!("../reference.yaml");
    let mut missing = Vec::new();
    missing_keys(&portcullis_config::json_schema(), text, &mut missing);
    assert!(
        missing.is_empty(),
        "reference.yaml does not show: {missing:?}"
    );
}

/// Names of properties in a schema, at any depth, that the text does not have as a key.
fn missing_keys(schema: &serde_json::Value, text: &str, missing: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(members) => {
            if let Some(serde_json::Value::Object(properties)) = members.get("properties") {
                let keys = properties
                    .keys()
                    .filter(|key| !text.contains(&format!("{key}:")));
                missing.extend(keys.cloned());
            }
            members
                .values()
                .for_each(|member| missing_keys(member, text, missing));
        }
        serde_json::Value::Array(items) => {
            items
                .iter()
                .for_each(|item| missing_keys(item, text, missing));
        }
        _ => {}
    }
}
