//! A policy's config: reading it, and problems that say where they are.

use serde::de::DeserializeOwned;

use crate::{ConfigProblem, json};

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
pub(crate) fn parse<C: DeserializeOwned>(text: &str) -> Result<C, Vec<ConfigProblem>> {
    json::read(text).map_err(|error| vec![ConfigProblem::new(error.path, error.message)])
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
        assert_eq!(problem(r#"{"limits": []} x"#).1, "not JSON at byte 15");
    }
}
