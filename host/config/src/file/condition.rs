//! The file format of conditions on values.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A condition as the config writes it: the exact text, `{ prefix: text }` or `{ present: true|false }`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum ConditionFile {
    /// Exactly this.
    Exact(String),
    /// One of the two.
    Named {
        /// This at its start.
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// Whether there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        present: Option<bool>,
    },
}

/// One schema for both forms, without `anyOf`, so that an error says which key is wrong.
impl JsonSchema for ConditionFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The exact value, { prefix: text } for its start, or { present: true } or { present: false }.",
            "type": ["string", "object"],
            "properties": {
                "prefix": { "description": "What the value starts with.", "type": "string", "minLength": 1 },
                "present": { "description": "Whether there is a value, whatever it is.", "type": "boolean" },
            },
            "additionalProperties": false,
        })
    }
}
