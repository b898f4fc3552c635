//! The schema, compiled once when the policy is configured, and what it says of a document.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use portcullis_sdk::ConfigProblem;
use portcullis_sdk::serde_json::Value;

use crate::config::DraftConfig;

/// Of one pattern of the schema, compiled.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Of a pointer or a message in an answer: both may hold names that the client has chosen.
const MAX_TEXT_BYTES: usize = 200;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON Pointer of the value.
    pub pointer: String,
    /// What the schema wants, without the value.
    pub message: String,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatches {
    /// As many as were asked for.
    pub listed: Vec<Mismatch>,
    /// There are more.
    pub has_more: bool,
}

impl Schema {
    /// Compiles it. Nothing is fetched: what it refers to must be in it.
    ///
    /// # Errors
    ///
    /// What is wrong, with its place below `/schema`.
    pub fn compile(
        schema: &Value,
        draft: Option<DraftConfig>,
        formats: bool,
    ) -> Result<Self, ConfigProblem> {
        let draft = choose_draft(schema, draft)?;
        jsonschema::options()
            .with_draft(draft)
            .offline()
            .should_validate_formats(formats)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
            .build(schema)
            .map(|validator| Self { validator })
            .map_err(|error| problem(&error))
    }

    /// What is wrong with `document`: at most `limit` things. `None`: nothing.
    pub fn check(&self, document: &Value, limit: usize) -> Option<Mismatches> {
        if self.validator.is_valid(document) {
            return None;
        }
        let mut errors = self.validator.iter_errors(document);
        let listed = errors
            .by_ref()
            .take(limit)
            .map(|error| mismatch(&error))
            .collect();
        Some(Mismatches {
            listed,
            has_more: errors.next().is_some(),
        })
    }
}

fn mismatch(error: &ValidationError<'_>) -> Mismatch {
    Mismatch {
        pointer: bounded(error.instance_path().as_str()),
        message: bounded(&error.masked_with("the value").to_string()),
    }
}

/// The text, up to a bound.
fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

fn choose_draft(schema: &Value, draft: Option<DraftConfig>) -> Result<Draft, ConfigProblem> {
    let at = |message: &str| ConfigProblem::new("/schema/$schema", message);
    let named = match schema.get("$schema") {
        None => None,
        Some(named) => {
            let uri = named.as_str().unwrap_or_default().trim_end_matches('#');
            let name = uri
                .strip_prefix("https://")
                .or_else(|| uri.strip_prefix("http://"));
            match name {
                Some("json-schema.org/draft/2020-12/schema") => Some(DraftConfig::Draft202012),
                Some("json-schema.org/draft-07/schema") => Some(DraftConfig::Draft7),
                _ => {
                    return Err(at(
                        "must be https://json-schema.org/draft/2020-12/schema or http://json-schema.org/draft-07/schema#",
                    ));
                }
            }
        }
    };
    match (named, draft) {
        (Some(named), Some(draft)) if named != draft => Err(at(
            "is another draft than `draft` says: leave one of them out",
        )),
        (named, draft) => Ok(match named.or(draft).unwrap_or_default() {
            DraftConfig::Draft202012 => Draft::Draft202012,
            DraftConfig::Draft7 => Draft::Draft7,
        }),
    }
}

fn problem(error: &ValidationError<'_>) -> ConfigProblem {
    let place = format!("/schema{}", error.instance_path());
    let message = match error.kind() {
        ValidationErrorKind::Referencing(error) => {
            format!(
                "{error}: nothing is fetched, so put what it refers to under $defs of this schema"
            )
        }
        ValidationErrorKind::Format { format } if format == "regex" => {
            format!(
                "{error}: patterns run in linear time, so they have no look-around and no back-references"
            )
        }
        _ => format!("is no sound schema: {error}"),
    };
    ConfigProblem::new(place, message)
}

#[cfg(test)]
mod tests;
