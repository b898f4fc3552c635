//! Refuses requests of a form that an upstream does not take: method, target, fields, body's length and type.
//!
//! This file ties the limits to the gateway.

pub mod config;
pub mod limits;
pub mod refusal;

use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnRequest, Policy, RequestVerdict, metrics,
};

use config::{Config, Mode};
use limits::{Facts, Limits, Target};

/// The policy with its config.
#[derive(Debug)]
pub struct RequestLimit {
    limits: Limits,
    mode: Mode,
}

impl Policy for RequestLimit {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "request-limit",
        version: env!("CARGO_PKG_VERSION"),
        description: "Refuses requests by method, target, fields, body's length and type",
        annotations: &[("optional-imports", "metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let mode = config.mode;
        Ok(Self {
            limits: config.limits()?,
            mode,
        })
    }
}

impl OnRequest for RequestLimit {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let checked = self.limits.check(&Request(exchange));
        let outcome = checked
            .as_ref()
            .err()
            .map_or("allowed", |refusal| refusal.outcome());
        let is_shadow = self.mode == Mode::Shadow;
        match (&checked, is_shadow) {
            (Err(_), true) => count(&format!("shadow_{outcome}")),
            _ => count(outcome),
        }
        Ok(match checked {
            Err(refusal) if !is_shadow => RequestVerdict::Respond(refusal.answer()),
            _ => RequestVerdict::Next,
        })
    }
}

fn count(outcome: &str) {
    metrics::count("requestlimit.decisions", 1.0, &[("outcome", outcome)]);
}

/// The request as limits see it.
struct Request<'a>(&'a Exchange);

impl Facts for Request<'_> {
    fn target(&self) -> Target {
        let head = self.0.head();
        Target {
            method: head.method,
            path_with_query: head.path_with_query,
        }
    }

    fn fields(&self) -> (usize, u64) {
        let fields = self.0.headers();
        (
            fields.len(),
            fields
                .iter()
                .map(|(name, value)| (name.len() + value.len()) as u64)
                .sum(),
        )
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    fn values(&self, name: &str) -> usize {
        self.0.header_values(name).len()
    }
}

portcullis_sdk::export!(RequestLimit: on_request; config_schema = include_str!("../config.schema.json"));
