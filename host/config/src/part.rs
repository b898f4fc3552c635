//! What the file is made of: parts that may be wrong one by one, and names.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A part of the file that can be wrong without hiding what is wrong elsewhere.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Part<T> {
    /// It has the right shape.
    Read(T),
    /// It is missing or misshapen, for this reason. As a rule the schema check has said it better.
    Broken(String),
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As an option, so that a key that is missing is a broken part too, and no more is lost.
        let value = Option::<Value>::deserialize(deserializer)?.unwrap_or_default();
        Ok(match serde_json::from_value(value) {
            Ok(read) => Self::Read(read),
            Err(error) => Self::Broken(error.to_string()),
        })
    }
}

impl<T: Default> Default for Part<T> {
    fn default() -> Self {
        Self::Read(T::default())
    }
}

impl<T: JsonSchema> JsonSchema for Part<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What a name is, for "expected a …".
pub(crate) const NAME_TITLE: &str = "name of at most 63 lower-case letters, digits, \".\", \"_\" and \"-\" that starts with a letter or digit";

/// The pattern of [`Name`].
pub(crate) const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9._-]{0,62}$";

/// Things by name.
pub(crate) type Named<T> = BTreeMap<Name, Part<T>>;

/// What other parts of the config, metrics and logs call a thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Name(pub(crate) String);

impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": NAME_TITLE,
            "type": "string",
            "pattern": NAME_PATTERN,
        })
    }
}

/// Whether `text` is a name, of at most 63 lower-case letters, digits, `.`, `_` and `-`, which starts with a letter or digit.
pub fn is_name(text: &str) -> bool {
    let is_letter_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| is_letter_or_digit(b) || b"._-".contains(&b))
        && text.bytes().next().is_some_and(is_letter_or_digit)
}
