//! Answers 401 unless a request carries a header.

use portcullis_sdk::{
    ConfigProblem, Exchange, LocalResponse, Manifest, OnRequest, Policy, RequestVerdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the header that a request must carry, in lower case.
    header: String,
}

struct RequireHeader {
    header: String,
}

impl Policy for RequireHeader {
    type Config = Config;
    const MANIFEST: Manifest = Manifest {
        name: "require-header",
        version: env!("CARGO_PKG_VERSION"),
        description: "Answers 401 unless a request carries a header",
        annotations: &[],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        if config.header.is_empty() {
            return Err(vec![ConfigProblem::new("/header", "must not be empty")]);
        }
        Ok(Self {
            header: config.header,
        })
    }
}

impl OnRequest for RequireHeader {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        Ok(match exchange.header(&self.header) {
            Some(_) => RequestVerdict::Next,
            None => {
                RequestVerdict::Respond(LocalResponse::problem(401, "A required header is missing"))
            }
        })
    }
}

portcullis_sdk::export!(RequireHeader: on_request);
