//! Lets requests pass whose body is JSON and matches a JSON Schema.
//!
//! This file ties the checks to the gateway.

pub mod config;
pub mod document;
pub mod refusal;
pub mod schema;

use portcullis_sdk::{
    BodyError, ConfigProblem, Exchange, Manifest, MediaRange, OnRequest, Policy, RequestVerdict,
    metrics,
};

use config::{Choice, Config, Mode};
use refusal::Refusal;
use schema::Schema;

/// The policy with its config.
#[derive(Debug)]
pub struct JsonValidate {
    config: Config,
    schema: Schema,
    accept: String,
}

impl Policy for JsonValidate {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "json-validate",
        version: env!("CARGO_PKG_VERSION"),
        description: "Checks JSON bodies of requests against a JSON Schema",
        annotations: &[("optional-imports", "metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let accept = config
            .content_types
            .iter()
            .map(MediaRange::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        Ok(Self {
            schema: config.compile()?,
            config,
            accept,
        })
    }
}

impl OnRequest for JsonValidate {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        if !self.config.methods.contains(&exchange.head().method) {
            return Ok(RequestVerdict::Next);
        }
        let checked = self.check(exchange)?;
        let is_shadow = self.config.mode == Mode::Shadow;
        match &checked {
            Ok(outcome) => count(outcome),
            Err(refusal) if is_shadow => count(&format!("shadow_{}", refusal.outcome())),
            Err(refusal) => count(refusal.outcome()),
        }
        Ok(match checked {
            Err(refusal) if !is_shadow => RequestVerdict::Respond(refusal.answer()),
            _ => RequestVerdict::Next,
        })
    }
}

impl JsonValidate {
    /// What is wrong with the body; else the metric's word.
    fn check(&self, exchange: &Exchange) -> Result<Result<&'static str, Refusal>, String> {
        let length = exchange
            .header("content-length")
            .and_then(|length| length.trim().parse::<u64>().ok());
        if length == Some(0) {
            return Ok(self.empty());
        }
        if let Some(early) = self.check_fields(exchange, length) {
            return Ok(early);
        }
        let max_size = self.config.max_size.as_bytes();
        let body = match exchange.read_body(u32::try_from(max_size).unwrap_or(u32::MAX)) {
            Ok(body) => body,
            Err(BodyError::TooLarge) => return Ok(Err(Refusal::TooLarge(max_size))),
            Err(error) => return Err(format!("the body can't be read: {}", String::from(error))),
        };
        if body.is_empty() {
            return Ok(self.empty());
        }
        Ok(self.check_body(&body))
    }

    /// What can be said before a byte is read.
    fn check_fields(
        &self,
        exchange: &Exchange,
        length: Option<u64>,
    ) -> Option<Result<&'static str, Refusal>> {
        let types = exchange.header_values("content-type");
        let content_type = match types.as_slice() {
            [one] => String::from_utf8_lossy(one),
            // None, or two of which each would be read by somebody.
            _ => "".into(),
        };
        if !self
            .config
            .content_types
            .iter()
            .any(|range| range.contains(&content_type))
        {
            return Some(match self.config.other_types {
                Choice::Pass => Ok("passed"),
                Choice::Refuse => Err(Refusal::OtherType(self.accept.clone())),
            });
        }
        if exchange
            .header_list("content-encoding")
            .iter()
            .any(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Some(Err(Refusal::Encoded));
        }
        let max_size = self.config.max_size.as_bytes();
        length
            .filter(|length| *length > max_size)
            .map(|_| Err(Refusal::TooLarge(max_size)))
    }

    fn empty(&self) -> Result<&'static str, Refusal> {
        match self.config.empty_body {
            Choice::Pass => Ok("passed"),
            Choice::Refuse => Err(Refusal::Empty),
        }
    }

    fn check_body(&self, body: &[u8]) -> Result<&'static str, Refusal> {
        let document = document::parse(body, self.config.rules()).map_err(Refusal::NoDocument)?;
        match self.schema.check(&document, self.config.max_errors) {
            None => Ok("valid"),
            Some(found) => Err(Refusal::Mismatch(self.config.status, found)),
        }
    }
}

fn count(outcome: &str) {
    metrics::count("jsonvalidate.decisions", 1.0, &[("outcome", outcome)]);
}

portcullis_sdk::export!(JsonValidate: on_request; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    use portcullis_sdk::serde_json::{self, json};

    use super::*;

    fn policy(config: serde_json::Value) -> JsonValidate {
        JsonValidate::configure(serde_json::from_value(config).unwrap()).unwrap()
    }

    #[test]
    fn bodies_are_read_and_matched() {
        let policy =
            policy(json!({ "schema": { "required": ["a"] }, "status": 400, "max_errors": 1 }));
        assert_eq!(policy.check_body(br#"{"a":1}"#), Ok("valid"));
        assert!(
            matches!(policy.check_body(b"{}"), Err(Refusal::Mismatch(400, found)) if found.listed.len() == 1)
        );
        assert!(matches!(
            policy.check_body(b"{"),
            Err(Refusal::NoDocument(_))
        ));
    }

    #[test]
    fn empty_bodies_are_as_the_config_has_it() {
        assert_eq!(
            policy(json!({ "schema": true })).empty(),
            Err(Refusal::Empty)
        );
        assert_eq!(
            policy(json!({ "schema": true, "empty_body": "pass" })).empty(),
            Ok("passed")
        );
    }

    #[test]
    fn the_ranges_are_told_to_who_sends_another_type() {
        assert_eq!(
            policy(json!({ "schema": true })).accept,
            "application/json, application/*+json"
        );
    }
}
