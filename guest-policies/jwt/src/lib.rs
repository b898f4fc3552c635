//! Verifies JSON Web Tokens: signature, times, issuer, audience, scopes; by keys of the config, of secrets, or
//! that an issuer publishes.
//!
//! This file ties the parts to the gateway; what is decided, and what callers are told, is in the modules.

pub mod algorithm;
pub mod claim;
pub mod config;
pub mod json;
pub mod jwk;
pub mod jwks;
pub mod key;
pub mod pem;
pub mod refusal;
pub mod rules;
pub mod secret;
pub mod token;
pub mod trusted;
pub mod verifier;

mod gateway;
#[cfg(test)]
mod vectors;

use portcullis_sdk::credential::{self, Found, Source};
use portcullis_sdk::{
    ConfigProblem, Exchange, FieldOp, Manifest, OnRequest, Policy, RequestVerdict, clock, log,
    metrics,
};
use serde_json::{Map, Value};

use claim::header_value;
use config::{Checked, Config};
use gateway::Gateway;
use refusal::Refusal;
use token::Token;
use verifier::Verifier;

/// The policy with its config.
#[derive(Debug)]
pub struct Jwt {
    config: Checked,
    verifier: Verifier,
}

/// What a token says.
type Claims = Map<String, Value>;

impl Policy for Jwt {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "jwt",
        version: env!("CARGO_PKG_VERSION"),
        description: "Verifies JSON Web Tokens, by keys of the config or a JWKS",
        annotations: &[("optional-imports", "kv,metrics,outcall,secrets")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let mut config = config.checked()?;
        let verifier = Verifier {
            keys: std::mem::take(&mut config.keys),
            jwks: std::mem::take(&mut config.jwks),
        };
        Ok(Self { config, verifier })
    }
}

impl OnRequest for Jwt {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let (claims, used, outcome) = match self.admit(exchange) {
            Ok(Some((claims, used))) => (claims, Some(used), "accepted"),
            Ok(None) => (Claims::new(), None, "anonymous"),
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        self.hand_on(exchange, &claims, used)?;
        count(outcome);
        Ok(RequestVerdict::Next)
    }
}

impl Jwt {
    /// What the request's token claims and where it was; nothing if there is none and need be none.
    fn admit(&self, exchange: &Exchange) -> Result<Option<(Claims, &Source)>, Refusal> {
        for source in &self.config.sources {
            match source.find(exchange) {
                Found::Nothing => {}
                Found::Many => return Err(Refusal::Ambiguous),
                Found::One(text) => {
                    let token = Token::parse(&text)?;
                    self.verifier.verify(&token, &Gateway)?;
                    let now = clock::unix_us() as f64 / 1e6;
                    self.config.rules.check(&token, now)?;
                    if !self.config.rules.has_scopes(&token.claims) {
                        return Err(Refusal::InsufficientScope);
                    }
                    return Ok(Some((token.claims, source)));
                }
            }
        }
        match self.config.optional {
            true => Ok(None),
            false => Err(Refusal::Missing),
        }
    }

    /// Edits the request for the upstream and the policies to come.
    fn hand_on(
        &self,
        exchange: &Exchange,
        claims: &Claims,
        used: Option<&Source>,
    ) -> Result<(), String> {
        let values: Vec<_> = self
            .config
            .headers
            .iter()
            .map(|(name, path)| (name.as_str(), path.of(claims).and_then(header_value)))
            .collect();
        let edits: Vec<FieldOp> = values
            .iter()
            .map(|(name, value)| match value {
                Some(value) => FieldOp::Set((name, value.as_bytes())),
                // Also where nobody was verified: what a client has sent under this name is not the issuer's word.
                None => FieldOp::Remove(name),
            })
            .collect();
        if !edits.is_empty() {
            exchange.edit_headers(&edits)?;
        }
        let kept = used.filter(|_| self.config.forward);
        let stripped = self
            .config
            .sources
            .iter()
            .filter(|source| Some(*source) != kept);
        credential::strip(stripped, exchange)?;
        let identity = self
            .config
            .identity
            .as_ref()
            .and_then(|path| path.of(claims));
        if let Some(identity) = identity.and_then(header_value) {
            exchange.set_shared("identity", &identity)?;
        }
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal) -> RequestVerdict {
        if let Refusal::Unavailable(why) = refusal {
            log::warn("a token's key is not to be had", &[("error", why)]);
        }
        count(refusal.outcome());
        RequestVerdict::Respond(refusal.response(&self.config.realm, &self.config.scopes))
    }
}

fn count(outcome: &str) {
    metrics::count("jwt.decisions", 1.0, &[("outcome", outcome)]);
}

portcullis_sdk::export!(Jwt: on_request; config_schema = include_str!("../config.schema.json"));
