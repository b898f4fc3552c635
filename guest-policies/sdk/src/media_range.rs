//! Media types and the ranges that configs name them by.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A media range (RFC 9110 §12.5.1) without parameters: `application/json`, `text/*`, `*/*`; or all types of a
/// structured suffix (RFC 6838 §4.2.8), `application/*+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// As it is written, in lower case.
    text: String,
}

impl MediaRange {
    /// Reads a range in any case.
    ///
    /// # Errors
    ///
    /// A message with the forms that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let is_range = |kind: &str, subtype: &str| match (kind, subtype) {
            ("*", subtype) => subtype == "*",
            (kind, "*") => is_token(kind),
            (kind, subtype) => {
                is_token(kind) && is_token(subtype.strip_prefix("*+").unwrap_or(subtype))
            }
        };
        match lower.split_once('/') {
            Some((kind, subtype)) if is_range(kind, subtype) => Ok(Self { text: lower }),
            _ => Err(format!(
                "{text:?} is no media range: write application/json, text/*, application/*+json or */*, without parameters"
            )),
        }
    }

    /// Whether a `content-type` is in the range, whatever its parameters and case. One that is no media type is in none.
    pub fn contains(&self, content_type: &str) -> bool {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let Some((kind, subtype)) = essence.split_once('/') else {
            return false;
        };
        let (range_kind, range_subtype) = self.text.split_once('/').unwrap_or_default();
        is_token(kind)
            && is_token(subtype)
            && (range_kind == "*" || kind.eq_ignore_ascii_case(range_kind))
            && match range_subtype.strip_prefix('*') {
                None => subtype.eq_ignore_ascii_case(range_subtype),
                Some(suffix) => ends_with(subtype, suffix),
            }
    }

    /// The range in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Something must stand before a suffix such as `+json`.
fn ends_with(subtype: &str, suffix: &str) -> bool {
    let (subtype, suffix) = (subtype.as_bytes(), suffix.as_bytes());
    suffix.is_empty()
        || subtype.len() > suffix.len()
            && subtype[subtype.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

/// A token (RFC 9110 §5.6.2) without `*`, which a range has a meaning for.
fn is_token(text: &str) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(may_stand)
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for MediaRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for MediaRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MediaRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^/;, ]+/[^/;, ]+$", "examples": ["application/json", "text/*"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_in_their_ranges() {
        for (range, content_type, expected) in [
            ("application/json", "application/json", true),
            ("application/json", "Application/JSON ; charset=utf-8", true),
            ("application/json", "application/json-patch+json", false),
            ("application/json", "text/json", false),
            ("text/*", "text/html", true),
            ("text/*", "application/text", false),
            ("*/*", "a/b", true),
            ("*/*", "", false),
            ("*/*", "nonsense", false),
            ("*/*", "a/b/c", false),
            ("*/*", "a/*", false),
            ("application/*+json", "application/problem+JSON", true),
            ("application/*+json", "application/json", false),
            ("application/*+json", "application/+json", false),
            ("application/*+json", "application/ä+json", false),
        ] {
            let range = MediaRange::parse(range).expect("a range");
            assert_eq!(
                range.contains(content_type),
                expected,
                "{range} {content_type}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_that_there_are() {
        for text in [
            "", "json", "*/json", "a/b;q=1", "a/b/c", "a/*+", "a/*b", "/b", "a/", "a, b/c",
        ] {
            let error = MediaRange::parse(text).expect_err(text);
            assert!(error.contains("write application/json"), "{error}");
        }
    }
}
