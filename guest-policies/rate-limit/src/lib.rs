//! Rate limits by GCRA: exact, in Redis for all gateways or in the memory of one.
//!
//! This file ties the parts to the gateway; what is decided, and what callers are told, is in the modules.

pub mod config;
pub mod decision;
pub mod fields;
pub mod gcra;
pub mod key;
pub mod kv;
pub mod limits;
pub mod redis;
pub mod store;

use portcullis_sdk::{
    ConfigProblem, Exchange, FieldOp, LocalResponse, Manifest, OnRequest, OnResponse, Policy,
    RequestVerdict, Response, ResponseVerdict, log, metrics,
};

use config::{Config, OnStoreError};
use decision::{Decision, StoreError};
use key::Facts;
use limits::Limits;
use store::Store;

/// The policy with its config.
#[derive(Debug)]
pub struct RateLimit {
    limits: Limits,
    store: Store,
    on_store_error: OnStoreError,
}

impl Policy for RateLimit {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "rate-limit",
        version: env!("CARGO_PKG_VERSION"),
        description: "Limits requests by GCRA, in Redis or in the gateway's memory",
        annotations: &[("optional-imports", "kv,redis,metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let limits = config.limits()?;
        Ok(Self {
            store: Store::new(&limits),
            limits,
            on_store_error: config.on_store_error,
        })
    }
}

impl OnRequest for RateLimit {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let keys = self.limits.keys(&Request(exchange));
        Ok(match self.store.decide(&self.limits, &keys) {
            Ok(decision) if decision.allowed() => {
                self.limits.names().for_each(|name| count(name, "allowed"));
                exchange.set_state(&decision.to_state());
                RequestVerdict::Next
            }
            Ok(decision) => {
                let refusing = self.limits.names().zip(decision.standings());
                refusing
                    .filter(|(_, standing)| !standing.allowed)
                    .for_each(|(name, _)| count(name, "limited"));
                RequestVerdict::Respond(self.refusal(&decision))
            }
            Err(error) => self.degrade(&error),
        })
    }
}

impl OnResponse for RateLimit {
    fn on_response(
        &self,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<ResponseVerdict, String> {
        let state = exchange.get_state();
        if let Some(decision) =
            state.and_then(|state| Decision::from_state(&state, self.limits.count()))
        {
            let standing = fields::rate_limit(self.limits.names(), &decision);
            // Appended, since another use of this policy may have its own items.
            response.edit_headers(&[
                FieldOp::Append((
                    fields::RATE_LIMIT_POLICY,
                    self.limits.policy_field().as_bytes(),
                )),
                FieldOp::Append((fields::RATE_LIMIT, standing.as_bytes())),
            ])?;
        }
        Ok(ResponseVerdict::Next)
    }
}

impl RateLimit {
    fn refusal(&self, decision: &Decision) -> LocalResponse {
        let body = fields::quota_exceeded(self.limits.names(), decision);
        problem(
            429,
            body.into_bytes(),
            &fields::retry_after(decision).to_string(),
        )
        .header(fields::RATE_LIMIT_POLICY, self.limits.policy_field())
        .header(
            fields::RATE_LIMIT,
            fields::rate_limit(self.limits.names(), decision),
        )
    }

    fn degrade(&self, error: &StoreError) -> RequestVerdict {
        // At debug, since a store that is down fails each request; the metric tells that it does.
        if log::enabled(log::Level::Debug) {
            let error = error.to_string();
            log::debug(
                "the rate limit's store gave no decision",
                &[("error", &error)],
            );
        }
        let (outcome, verdict) = match self.on_store_error {
            OnStoreError::Open => ("degraded_open", RequestVerdict::Next),
            OnStoreError::Closed => ("degraded_closed", RequestVerdict::Respond(unavailable())),
        };
        self.limits.names().for_each(|name| count(name, outcome));
        verdict
    }
}

fn unavailable() -> LocalResponse {
    problem(
        503,
        fields::store_failed().into(),
        fields::STORE_RETRY_AFTER,
    )
}

fn problem(status: u16, body: Vec<u8>, retry_after: &str) -> LocalResponse {
    LocalResponse {
        status,
        headers: Vec::with_capacity(4),
        body,
    }
    .header("content-type", fields::PROBLEM_JSON)
    .header("retry-after", retry_after)
}

fn count(limit: &str, outcome: &str) {
    metrics::count(
        "ratelimit.decisions",
        1.0,
        &[("limit", limit), ("outcome", outcome)],
    );
}

/// The request as keys see it.
struct Request<'a>(&'a Exchange);

impl Facts for Request<'_> {
    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.0.attribute(name)
    }
}

portcullis_sdk::export!(RateLimit: on_request, on_response; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gcra::Standing;

    fn policy() -> RateLimit {
        let config = serde_json::json!({ "limits": [
            { "name": "token", "key": "client_address", "rate": 100, "per": "1m", "burst": 20 },
            { "name": "day", "key": "client_address", "rate": 1_000, "per": "24h" },
        ]});
        RateLimit::configure(serde_json::from_value(config).unwrap()).unwrap()
    }

    fn headers(response: &LocalResponse) -> Vec<(&str, &str)> {
        let text = |value| std::str::from_utf8(value).unwrap();
        response
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)))
            .collect()
    }

    #[test]
    fn a_refusal_says_which_limit_and_when_to_come_back() {
        let refused = Decision::collect(2, |i| Standing {
            allowed: i == 1,
            remaining: i as u32,
            wait_us: 600_001,
        });
        let response = policy().refusal(&refused);
        assert_eq!(response.status, 429);
        assert_eq!(
            headers(&response),
            [
                ("content-type", "application/problem+json"),
                ("retry-after", "1"),
                (
                    "ratelimit-policy",
                    r#""token";q=100;w=60, "day";q=1000;w=86400"#
                ),
                ("ratelimit", r#""token";r=0;t=1"#),
            ]
        );
    }

    #[test]
    fn a_failed_store_is_a_503_that_says_when_to_come_back() {
        let response = unavailable();
        assert_eq!(response.status, 503);
        assert_eq!(
            headers(&response),
            [
                ("content-type", "application/problem+json"),
                ("retry-after", "1")
            ]
        );
    }
}
