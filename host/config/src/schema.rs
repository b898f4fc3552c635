//! The JSON Schema of the file format, and the check of a value against it in words that help.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::file::GatewayFile;
use crate::path::pointer_to_path;
use crate::wording;

/// The JSON Schema (draft 2020-12) of the config file, with descriptions, defaults and patterns: for
/// editors and other tools. What it cannot say, such as references and ranges of durations, only
/// [`crate::parse`] checks.
pub fn json_schema() -> Value {
    schema_of::<GatewayFile>()
}

/// The JSON Schema of a file format.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with_transform(Tidy)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Every place where `value` does not fit `schema`: JSON Pointer (RFC 6901) and message. For the config
/// of a policy, whose schema is its own.
///
/// # Errors
/// `schema` is no JSON Schema, for this reason.
pub fn schema_problems(schema: &Value, value: &Value) -> Result<Vec<(String, String)>, String> {
    let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
    let errors = validator.iter_errors(value);
    Ok(errors.flat_map(|error| problems(schema, &error)).collect())
}

/// Every place where `value` does not fit the schema of the file format: path and message.
pub(crate) fn check(value: &Value) -> Vec<(String, String)> {
    schema_problems(&json_schema(), value)
        .expect("the schema of the file format is a valid schema")
        .into_iter()
        .map(|(pointer, message)| (pointer_to_path("", &pointer), message))
        .collect()
}

fn problems(schema: &Value, error: &ValidationError<'_>) -> Vec<(String, String)> {
    let pointer = error.instance_path().as_str();
    let rule = error.schema_path().as_str();
    let node = rule
        .rsplit_once('/')
        .and_then(|(node, _)| schema.pointer(node))
        .unwrap_or(&Value::Null);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|key| (join_token(pointer, key), wording::unknown_key(node, key)))
            .collect(),
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let message = wording::missing_key(schema, node, key);
            vec![(pointer.to_owned(), message)]
        }
        _ => vec![(pointer.to_owned(), wording::misfit(node, error))],
    }
}

fn join_token(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
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
