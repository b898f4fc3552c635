//! A policy's config: reading it, and problems that say where they are.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::ConfigProblem;

impl ConfigProblem {
    /// A problem at `path`, a JSON Pointer (RFC 6901) such as `/limits/0/rate`; `""` is the whole config.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// Reads `C` from JSON.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Vec<ConfigProblem>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        vec![ConfigProblem::new(
            pointer(error.path()),
            message(error.inner()),
        )]
    })?;
    deserializer
        .end()
        .map_err(|error| vec![ConfigProblem::new("", error.to_string())])?;
    Ok(config)
}

/// Without serde_json's line and column where the JSON itself is sound: the host made it from YAML, and the
/// pointer says the place better.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) if error.is_data() => message.to_owned(),
        _ => text,
    }
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                key.replace('~', "~0").replace('/', "~1")
            }
            Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Limit {
        rate: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Config {
        limits: Vec<Limit>,
        #[serde(rename = "a/b~c")]
        odd: Option<u8>,
        key: Option<Key>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only parsed")]
    enum Key {
        Header { name: String },
    }

    fn problem(json: &str) -> (String, String) {
        let problem = parse::<Config>(json).unwrap_err().remove(0);
        (problem.path, problem.message)
    }

    #[test]
    fn wrong_type_is_found_by_pointer() {
        let (path, message) = problem(r#"{"limits": [{"rate": 1}, {"rate": "x"}]}"#);
        assert_eq!(path, "/limits/1/rate");
        assert_eq!(message, "invalid type: string \"x\", expected u32");
    }

    #[test]
    fn pointer_leads_into_an_enum() {
        let (path, message) = problem(r#"{"limits": [], "key": {"header": {"name": null}}}"#);
        assert_eq!(path, "/key/header/name");
        assert_eq!(message, "invalid type: null, expected a string");
    }

    #[test]
    fn pointer_escapes_its_tokens() {
        assert_eq!(problem(r#"{"limits": [], "a/b~c": -1}"#).0, "/a~1b~0c");
    }

    #[test]
    fn unknown_and_missing_fields_are_named() {
        let (path, message) = problem(r#"{"limits": [], "limit": 1}"#);
        assert_eq!(path, "/limit");
        assert!(message.contains("unknown field `limit`"), "{message}");
        let (path, message) = problem("{}");
        assert_eq!(path, "");
        assert!(message.contains("missing field `limits`"), "{message}");
    }

    #[test]
    fn text_after_the_config_is_a_problem() {
        assert!(
            problem(r#"{"limits": []} x"#)
                .1
                .contains("trailing characters")
        );
    }
}
