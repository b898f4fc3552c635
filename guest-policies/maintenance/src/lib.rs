//! Answers in place of an upstream that is under maintenance, within a window of time or while a switch is on.
//!
//! This file ties the schedule, the exceptions and the answer to the gateway.

pub mod answer;
pub mod come_back;
pub mod config;
pub mod exceptions;
pub mod moment;
pub mod schedule;

use std::net::IpAddr;

use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnRequest, Policy, RequestVerdict, clock, metrics, secrets,
};

use config::{Checked, Config};
use exceptions::{Facts, Pass};
use schedule::Switch;

/// The policy with its config.
#[derive(Debug)]
pub struct Maintenance(Checked);

impl Policy for Maintenance {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "maintenance",
        version: env!("CARGO_PKG_VERSION"),
        description: "Answers in place of an upstream that is under maintenance",
        annotations: &[("optional-imports", "metrics,secrets")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        config.checked().map(Self)
    }
}

impl OnRequest for Maintenance {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let checked = &self.0;
        if !self.switch()?.is_on(checked.window, clock::unix_us) {
            count("off");
            return Ok(RequestVerdict::Next);
        }
        match checked.exceptions.find(&Request(exchange))? {
            Some(pass) => {
                if let Pass::ByHeader(name) = pass {
                    exchange.remove_header(name.as_str())?;
                }
                count("excepted");
                Ok(RequestVerdict::Next)
            }
            None => {
                count("answered");
                Ok(RequestVerdict::Respond(checked.answer.at(clock::unix_us)))
            }
        }
    }
}

impl Maintenance {
    fn switch(&self) -> Result<Switch, String> {
        let Some(name) = &self.0.switch_secret else {
            return Ok(Switch::Window);
        };
        let text = secrets::get(name).ok_or_else(|| {
            format!("the secret {name:?} is not granted: `grants: {{ secrets: [{name}] }}`")
        })?;
        Switch::parse(&text)
    }
}

fn count(outcome: &str) {
    metrics::count("maintenance.decisions", 1.0, &[("outcome", outcome)]);
}

/// The request as exceptions see it.
struct Request<'a>(&'a Exchange);

impl Facts for Request<'_> {
    fn client(&self) -> Option<IpAddr> {
        self.0.attribute("client.address")?.parse().ok()
    }

    fn path(&self) -> String {
        let mut target = self.0.head().path_with_query;
        target.truncate(target.find('?').unwrap_or(target.len()));
        target
    }

    fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_values(name)
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.0.cookie(name)
    }

    fn secret(&self, name: &str) -> Option<String> {
        secrets::get(name)
    }
}

portcullis_sdk::export!(Maintenance: on_request; config_schema = include_str!("../config.schema.json"));
