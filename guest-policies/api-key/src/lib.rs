//! Lets requests with a known API key pass. Keys are known by their hashes alone, from secrets and from Redis.
//!
//! This file ties the parts to the gateway; what is decided is in the modules.

pub mod config;
pub mod digest;
pub mod list;
pub mod moment;
pub mod record;
pub mod refusal;
pub mod store;

use portcullis_sdk::credential::{self, Found, Source};
use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnRequest, Policy, RequestVerdict, clock, kv, log, metrics,
    redis, secrets,
};

use config::{Config, OnStoreError};
use digest::Digest;
use record::Standing;
use refusal::Refusal;
use store::World;

/// Bytes of a key that is looked at; a longer one is unknown.
const MAX_KEY: usize = 1_024;

/// The policy with its config.
#[derive(Debug)]
pub struct ApiKey {
    config: Config,
}

impl Policy for ApiKey {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "api-key",
        version: env!("CARGO_PKG_VERSION"),
        description: "Lets requests with a known API key pass",
        annotations: &[("optional-imports", "kv,metrics,redis,secrets")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let config = config.checked()?;
        Ok(Self { config })
    }
}

impl OnRequest for ApiKey {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let (name, used, outcome) = match self.admit(exchange) {
            Ok(Some((name, used))) => (Some(name), Some(used), "accepted"),
            Ok(None) => (None, None, "anonymous"),
            Err(Refusal::Unavailable(why)) => {
                log::error("an API key could not be looked up", &[("error", &why)]);
                match self.config.on_store_error {
                    OnStoreError::Open => (None, None, "degraded_open"),
                    OnStoreError::Closed => return Ok(self.refuse(&Refusal::Unavailable(why))),
                }
            }
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        self.hand_on(exchange, name.as_deref(), used)?;
        count(outcome);
        Ok(RequestVerdict::Next)
    }
}

impl ApiKey {
    /// Whose key the request has and where it was; nothing if there is none and need be none.
    fn admit(&self, exchange: &Exchange) -> Result<Option<(String, &Source)>, Refusal> {
        for source in &self.config.key {
            match source.find(exchange) {
                Found::Many => return Err(Refusal::Ambiguous),
                Found::One(key) if !key.is_empty() => return Ok(Some((self.name(&key)?, source))),
                Found::One(_) | Found::Nothing => {}
            }
        }
        match self.config.optional {
            true => Ok(None),
            false => Err(Refusal::Missing),
        }
    }

    fn name(&self, key: &str) -> Result<String, Refusal> {
        if key.len() > MAX_KEY {
            return Err(Refusal::Unknown);
        }
        let (secrets, redis) = (&self.config.secrets, self.config.redis.as_ref());
        let record = store::find(secrets, redis, &Digest::of(key), &Gateway)
            .map_err(Refusal::Unavailable)?
            .ok_or(Refusal::Unknown)?;
        match record.standing(clock::unix_us() / 1_000_000) {
            Standing::Good => Ok(record.name),
            Standing::Disabled => Err(Refusal::Disabled),
            Standing::Expired => Err(Refusal::Expired),
        }
    }

    /// Edits the request for the upstream and the policies to come.
    fn hand_on(
        &self,
        exchange: &Exchange,
        name: Option<&str>,
        used: Option<&Source>,
    ) -> Result<(), String> {
        match (&self.config.identity_header, name) {
            (Some(header), Some(name)) => exchange.set_header(header, name)?,
            // What a client has sent under this name is nobody's word.
            (Some(header), None) => exchange.remove_header(header)?,
            (None, _) => {}
        }
        let kept = used.filter(|_| self.config.forward);
        let stripped = self
            .config
            .key
            .iter()
            .filter(|source| Some(*source) != kept);
        credential::strip(stripped, exchange)?;
        if let Some(name) = name {
            exchange.set_shared("identity", name)?;
        }
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal) -> RequestVerdict {
        count(refusal.outcome());
        RequestVerdict::Respond(refusal.response(&self.config.realm, &self.config.key))
    }
}

fn count(outcome: &str) {
    metrics::count("apikey.decisions", 1.0, &[("outcome", outcome)]);
}

/// What is around a request.
struct Gateway;

impl World for Gateway {
    fn secret(&self, name: &str) -> Option<String> {
        secrets::get(name)
    }

    fn redis(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        redis::get(key).map_err(String::from)
    }

    fn kept(&self, key: &str) -> Option<Vec<u8>> {
        kv::get(key).ok().flatten()
    }

    fn keep(&self, key: &str, value: &[u8], ttl_ms: u32) {
        // Without the grant, or when the space is full, Redis is asked again.
        let _ = kv::set(key, value, Some(ttl_ms));
    }
}

portcullis_sdk::export!(ApiKey: on_request; config_schema = include_str!("../config.schema.json"));
