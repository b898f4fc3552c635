//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::serde_json::Value;
use portcullis_sdk::{ByteSize, ConfigProblem, FieldName, MediaRange};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::Rules;
use crate::schema::Schema;

/// More nesting than the reader of JSON takes.
const MAX_DEPTH: usize = 120;
/// Of one answer.
const MAX_ERRORS: usize = 100;
/// What a list may hold.
const MAX_ENTRIES: usize = 64;
/// What the contract can ask for.
const MAX_SIZE: u64 = 1 << 30;

/// Lets requests pass whose body is JSON and matches a schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The JSON Schema that bodies must match. Nothing is fetched: what it refers to must be in it.
    pub schema: Value,
    /// The schema's draft, unless its `$schema` says so. Default: `2020-12`.
    pub draft: Option<DraftConfig>,
    /// Whether `format` is an assertion, such as of dates and addresses. Default: false, a remark.
    #[serde(default)]
    pub formats: bool,
    /// Methods whose requests are checked. Others pass. Default: POST, PUT, PATCH.
    #[serde(default = "methods")]
    #[schemars(length(min = 1, max = 64))]
    pub methods: Vec<String>,
    /// Media ranges of bodies that are checked. Default: `application/json`, `application/*+json`.
    #[serde(default = "content_types")]
    #[schemars(length(min = 1, max = 64))]
    pub content_types: Vec<MediaRange>,
    /// What becomes of other media types: `refuse` by 415, or `pass`. Default: `refuse`.
    #[serde(default)]
    pub other_types: Choice,
    /// What becomes of empty bodies: `refuse` by 400, or `pass`. Default: `refuse`.
    #[serde(default)]
    pub empty_body: Choice,
    /// What becomes of a body with a name that stands twice in an object: `refuse` by 400, or `pass`. Default: `refuse`.
    #[serde(default)]
    pub duplicate_keys: Choice,
    /// Arrays and objects within each other, 1 to 120: else 400. Default: 32.
    #[serde(default = "max_depth")]
    #[schemars(range(min = 1, max = 120))]
    pub max_depth: usize,
    /// Bytes of the body, 1B to 1GiB: else 413. The policy's `limits.body` must be as large. Default: `1MiB`.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
    /// The status of a body that does not match: 400 or 422. Default: 422.
    #[serde(default = "unprocessable")]
    #[schemars(extend("enum" = [400, 422]))]
    pub status: u16,
    /// How many mismatches an answer lists, 0 to 100. Default: 10.
    #[serde(default = "max_errors")]
    #[schemars(range(min = 0, max = 100))]
    pub max_errors: usize,
    /// `enforce`, or `shadow`: refuse nothing, and count what would be refused. Default: `enforce`.
    #[serde(default)]
    pub mode: Mode,
}

/// A version of JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum DraftConfig {
    /// That of 2020.
    #[default]
    #[serde(rename = "2020-12")]
    Draft202012,
    /// That of 2018.
    #[serde(rename = "7")]
    Draft7,
}

/// What becomes of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The request is refused.
    #[default]
    Refuse,
    /// It passes.
    Pass,
}

/// Whether refusals are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are counted.
    Shadow,
}

fn methods() -> Vec<String> {
    ["POST", "PUT", "PATCH"].map(str::to_owned).into()
}

fn content_types() -> Vec<MediaRange> {
    ["application/json", "application/*+json"]
        .iter()
        .filter_map(|text| MediaRange::parse(text).ok())
        .collect()
}

const fn max_depth() -> usize {
    32
}

const fn max_size() -> ByteSize {
    ByteSize::from_bytes(1 << 20)
}

const fn unprocessable() -> u16 {
    422
}

const fn max_errors() -> usize {
    10
}

impl Config {
    /// Checks what the types cannot say, and compiles the schema.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn compile(&self) -> Result<Schema, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        for (path, length) in [
            ("/methods", self.methods.len()),
            ("/content_types", self.content_types.len()),
        ] {
            if !(1..=MAX_ENTRIES).contains(&length) {
                report(path, "must have 1 to 64 entries");
            }
        }
        for (i, method) in self.methods.iter().enumerate() {
            if FieldName::parse(method).is_err() || *method != method.to_ascii_uppercase() {
                report(
                    &format!("/methods/{i}"),
                    "must be a method in upper case, such as POST",
                );
            }
        }
        if !(1..=MAX_DEPTH).contains(&self.max_depth) {
            report("/max_depth", "must be 1 to 120");
        }
        if !(1..=MAX_SIZE).contains(&self.max_size.as_bytes()) {
            report("/max_size", "must be 1B to 1GiB");
        }
        if ![400, 422].contains(&self.status) {
            report("/status", "must be 400 or 422");
        }
        if self.max_errors > MAX_ERRORS {
            report("/max_errors", "must be at most 100");
        }
        match Schema::compile(&self.schema, self.draft, self.formats) {
            Ok(schema) if problems.is_empty() => return Ok(schema),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
        Err(problems)
    }

    /// How strictly bodies are read.
    pub fn rules(&self) -> Rules {
        Rules {
            max_depth: self.max_depth,
            duplicate_keys: self.duplicate_keys == Choice::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_sdk::serde_json::{self, json};

    use super::*;

    fn with(key: &str, value: Value) -> Config {
        let mut config = json!({ "schema": true });
        config[key] = value;
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_schema_is_enough() {
        let config = with("schema", json!({ "type": "object" }));
        assert!(config.compile().is_ok());
        assert_eq!(
            (
                config.content_types.len(),
                config.methods.len(),
                config.rules().duplicate_keys
            ),
            (2, 3, false)
        );
    }

    #[test]
    fn each_problem_names_its_place() {
        for (key, value, message) in [
            ("methods", json!([]), "1 to 64"),
            ("content_types", json!([]), "1 to 64"),
            ("max_depth", json!(0), "1 to 120"),
            ("max_depth", json!(121), "1 to 120"),
            ("max_size", json!("0B"), "1B to 1GiB"),
            ("max_size", json!("2GiB"), "1B to 1GiB"),
            ("status", json!(403), "400 or 422"),
            ("max_errors", json!(101), "at most 100"),
            ("schema", json!(5), "sound schema"),
        ] {
            let problems = with(key, value.clone()).compile().unwrap_err();
            assert_eq!(problems.len(), 1, "{key} {value}: {problems:?}");
            assert!(
                problems[0].path == format!("/{key}") && problems[0].message.contains(message),
                "{problems:?}"
            );
        }
        let problems = with("methods", json!(["POST", "put"]))
            .compile()
            .unwrap_err();
        assert_eq!(problems[0].path, "/methods/1");
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        for (value, message) in [
            (json!({}), "missing field `schema`"),
            (
                json!({ "schema": true, "schemas": [] }),
                "unknown field `schemas`",
            ),
            (
                json!({ "schema": true, "draft": "4" }),
                "expected `2020-12` or `7`",
            ),
            (
                json!({ "schema": true, "other_types": "ignore" }),
                "expected `refuse` or `pass`",
            ),
        ] {
            let error = serde_json::from_value::<Config>(value)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
