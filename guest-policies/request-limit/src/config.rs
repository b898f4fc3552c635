//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ByteSize, ConfigProblem, FieldName, MediaRange};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::Limits;

/// What a list may hold.
const MAX_ENTRIES: usize = 64;

/// Of what form requests may be. What is left out is not looked at; the first limit that a request does not keep answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Methods that may be used, in their case: else 405.
    #[schemars(length(min = 1, max = 64))]
    pub methods: Option<Vec<String>>,
    /// Bytes of the path: else 414.
    pub max_path: Option<ByteSize>,
    /// Bytes of the query, without the `?`: else 414.
    pub max_query: Option<ByteSize>,
    /// Parameters of the query: else 400.
    pub max_query_parameters: Option<u32>,
    /// Fields of the request, those that the gateway has added included: else 431.
    #[schemars(range(min = 1))]
    pub max_headers: Option<u32>,
    /// Bytes of all names and values of fields together: else 431.
    pub max_header_bytes: Option<ByteSize>,
    /// Fields that must be there, and not be empty: else 400.
    #[schemars(length(min = 1, max = 64))]
    pub required_headers: Option<Vec<FieldName>>,
    /// Whether POST, PUT and PATCH must tell the length of their body: else 411. Default: false.
    pub length_required: bool,
    /// Bytes of the body as `content-length` tells them: else 413. For bodies of unknown length see the route's `limits: { body: … }`.
    pub max_body: Option<ByteSize>,
    /// Media ranges that the body may be of: else 415. A request without a body may pass.
    #[schemars(length(min = 1, max = 64))]
    pub content_types: Option<Vec<MediaRange>>,
    /// `enforce`, or `shadow`: refuse nothing, and count what would be refused. Default: `enforce`.
    pub mode: Mode,
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

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn limits(self) -> Result<Limits, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: String, message: &str| problems.push(ConfigProblem::new(path, message));
        if self.has_no_limit() {
            report(
                String::new(),
                "limits nothing: write methods, content_types, max_body or another key",
            );
        }
        let lengths = [
            ("/methods", self.methods.as_ref().map(Vec::len)),
            (
                "/required_headers",
                self.required_headers.as_ref().map(Vec::len),
            ),
            ("/content_types", self.content_types.as_ref().map(Vec::len)),
        ];
        for (path, length) in lengths {
            if length.is_some_and(|length| !(1..=MAX_ENTRIES).contains(&length)) {
                report(path.to_owned(), "must have 1 to 64 entries");
            }
        }
        for (i, method) in self.methods.iter().flatten().enumerate() {
            if FieldName::parse(method).is_err() {
                report(
                    format!("/methods/{i}"),
                    "is no method: write GET, POST or another",
                );
            } else if *method != method.to_ascii_uppercase() {
                report(
                    format!("/methods/{i}"),
                    "methods have a case: write it in upper case",
                );
            }
        }
        if self.max_path.is_some_and(|size| size.as_bytes() == 0) {
            report(
                "/max_path".to_owned(),
                "must be at least 1B: every path has a slash",
            );
        }
        if self.max_headers == Some(0) {
            report("/max_headers".to_owned(), "must be at least 1");
        }
        if problems.is_empty() {
            Ok(Limits::new(self))
        } else {
            Err(problems)
        }
    }

    fn has_no_limit(&self) -> bool {
        self.methods.is_none()
            && self.max_path.is_none()
            && self.max_query.is_none()
            && self.max_query_parameters.is_none()
            && self.max_headers.is_none()
            && self.max_header_bytes.is_none()
            && self.required_headers.is_none()
            && !self.length_required
            && self.max_body.is_none()
            && self.content_types.is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_problem_names_its_place_and_the_remedy() {
        for (value, place, message) in [
            (json!({}), "", "limits nothing"),
            (json!({ "mode": "shadow" }), "", "limits nothing"),
            (json!({ "methods": [] }), "/methods", "1 to 64"),
            (
                json!({ "methods": ["GET", "post"] }),
                "/methods/1",
                "upper case",
            ),
            (json!({ "methods": ["G T"] }), "/methods/0", "is no method"),
            (
                json!({ "required_headers": [] }),
                "/required_headers",
                "1 to 64",
            ),
            (json!({ "content_types": [] }), "/content_types", "1 to 64"),
            (json!({ "max_path": "0B" }), "/max_path", "at least 1B"),
            (json!({ "max_headers": 0 }), "/max_headers", "at least 1"),
        ] {
            let config: Config = serde_json::from_value(value.clone()).unwrap();
            let problems = config.limits().unwrap_err();
            assert_eq!(problems.len(), 1, "{value}: {problems:?}");
            assert!(
                problems[0].path == place && problems[0].message.contains(message),
                "{value}: {problems:?}"
            );
        }
    }

    #[test]
    fn unknown_keys_and_types_are_refused() {
        for (value, message) in [
            (json!({ "max_bdy": "1KiB" }), "unknown field `max_bdy`"),
            (json!({ "max_body": 1024 }), "expected a size"),
            (json!({ "content_types": ["json"] }), "is no media range"),
            (json!({ "required_headers": ["a b"] }), "is no field name"),
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
