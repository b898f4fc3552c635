//! Takes members away from answers in JSON, wherever they stand in them.

use portcullis_sdk::serde_json::{self, Value};
use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnResponse, Policy, Response, ResponseVerdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Answers are read up to this size, and up to the operator's `limits.body`.
const MAX_BYTES: u32 = 1 << 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Names of the members that no client may see.
    members: Vec<String>,
}

struct RedactJson {
    members: Vec<String>,
}

impl Policy for RedactJson {
    type Config = Config;
    const MANIFEST: Manifest = Manifest {
        name: "redact-json",
        version: env!("CARGO_PKG_VERSION"),
        description: "Takes members away from JSON answers",
        annotations: &[],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        Ok(Self {
            members: config.members,
        })
    }
}

impl OnResponse for RedactJson {
    fn on_response(&self, _: &Exchange, response: &Response) -> Result<ResponseVerdict, String> {
        let kind = response.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Ok(ResponseVerdict::Next);
        }
        // What can't be looked at, being too large, compressed or no JSON, must not pass: the hook
        // fails, and `on_failure: closed` answers 503.
        let body = response.read_body(MAX_BYTES)?;
        if body.is_empty() {
            return Ok(ResponseVerdict::Next);
        }
        let mut answer = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        if self.redact(&mut answer) {
            response.replace_json(&answer)?;
            // It told of the old body.
            response.remove_header("etag")?;
        }
        Ok(ResponseVerdict::Next)
    }
}

impl RedactJson {
    /// Whether something was taken away.
    fn redact(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(members) => {
                let before = members.len();
                members.retain(|name, _| !self.members.contains(name));
                let mut found = members.len() < before;
                for value in members.values_mut() {
                    found |= self.redact(value);
                }
                found
            }
            Value::Array(items) => items
                .iter_mut()
                .fold(false, |found, item| self.redact(item) | found),
            _ => false,
        }
    }
}

portcullis_sdk::export!(RedactJson: on_response);
