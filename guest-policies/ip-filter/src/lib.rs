//! Lets requests pass, or not, by the client's address.
//!
//! This file ties the lists to the gateway.

pub mod config;
pub mod filter;
pub mod listed;

use std::net::IpAddr;

use portcullis_sdk::{
    ConfigProblem, Exchange, LocalResponse, Manifest, OnRequest, Policy, RequestVerdict, metrics,
    secrets,
};

use config::{Config, Mode};
use filter::{Filter, Verdict};

/// The policy with its config.
#[derive(Debug)]
pub struct IpFilter {
    filter: Filter,
    status: u16,
    title: String,
    mode: Mode,
}

impl Policy for IpFilter {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "ip-filter",
        version: env!("CARGO_PKG_VERSION"),
        description: "Lets requests pass by the client's address",
        annotations: &[("optional-imports", "metrics,secrets")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let (status, title, mode) = (config.status, config.title().to_owned(), config.mode);
        Ok(Self {
            filter: config.filter()?,
            status,
            title,
            mode,
        })
    }
}

impl OnRequest for IpFilter {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let address = exchange.attribute("client.address").unwrap_or_default();
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("{address:?} is no address"))?;
        let judged = self.filter.judge(address, secrets::get);
        let (verdict, broken) = judged.map_err(|missing| {
            format!(
                "the secret {:?} is not granted: `grants: {{ secrets: [{}] }}`",
                missing.0, missing.0
            )
        })?;
        if self.filter.asks_for_secrets() {
            metrics::gauge("ipfilter.broken_entries", broken as f64, &[]);
        }
        let is_shadow = self.mode == Mode::Shadow;
        metrics::count(
            "ipfilter.decisions",
            1.0,
            &[("outcome", verdict.outcome(is_shadow))],
        );
        Ok(if verdict == Verdict::Allowed || is_shadow {
            RequestVerdict::Next
        } else {
            RequestVerdict::Respond(LocalResponse::problem(self.status, &self.title))
        })
    }
}

portcullis_sdk::export!(IpFilter: on_request; config_schema = include_str!("../config.schema.json"));
