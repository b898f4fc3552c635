//! The JSON Schema of the file format, and the check of a value against it in words that help.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use crate::file::GatewayFile;
use crate::path::{join_key, pointer_to_path};
use crate::wording;

/// The JSON Schema (draft 2020-12) of the config file, with descriptions, defaults and patterns: for
/// editors and other tools. What it cannot say, such as references and ranges of durations, only
/// [`crate::parse`] checks.
pub fn json_schema() -> Value {
    SchemaSettings::draft2020_12()
        .with_transform(Tidy)
        .into_generator()
        .into_root_schema_for::<GatewayFile>()
        .to_value()
}

/// Every place where `value` does not fit the schema: path and message.
pub(crate) fn check(value: &Value) -> Vec<(String, String)> {
    let schema = json_schema();
    let validator = jsonschema::validator_for(&schema)
        .expect("the schema of the file format is a valid schema");
    validator
        .iter_errors(value)
        .flat_map(|error| problems(&schema, &error))
        .collect()
}

fn problems(schema: &Value, error: &ValidationError<'_>) -> Vec<(String, String)> {
    let path = pointer_to_path("", error.instance_path().as_str());
    let rule = error.schema_path().as_str();
    let node = rule
        .rsplit_once('/')
        .and_then(|(node, _)| schema.pointer(node))
        .unwrap_or(&Value::Null);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|key| (join_key(&path, key), wording::unknown_key(node, key)))
            .collect(),
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            vec![(path, wording::missing_key(schema, node, key))]
        }
        _ => vec![(path, wording::misfit(node, error))],
    }
}

/// A key that is left out is not the same as one without a value, which is a slip. schemars lets an
/// `Option` be null; this takes that back.
#[derive(Clone)]
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        // "uint16" and the like are schemars' own; minimum and maximum say what matters.
        schema.remove("format");
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                schema.remove("anyOf");
                for (key, value) in only {
                    schema.insert(key, value);
                }
            }
        }
        transform_subschemas(self, schema);
    }
}
