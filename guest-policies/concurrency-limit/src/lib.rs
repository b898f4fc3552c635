//! How many requests of a caller may be in flight at once, in Redis for all gateways or in the memory of one.
//!
//! A crate of its own and no kind of rate limit: a component that exports `on-log` has every exchange of its
//! routes cost one call more, which plain rate limits need not pay.

pub mod answer;
pub mod claim;
pub mod config;
pub mod hold;
pub mod kv;
pub mod limits;
pub mod redis;
pub mod store;

use portcullis_keys::{Listed, Lists};
use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnLog, OnRequest, Policy, RequestVerdict, Response, Summary,
    log, metrics, random,
};

use claim::{Outcome, StoreError};
use config::{Config, OnStoreError};
use hold::{Hold, Place};
use limits::Limits;
use store::Store;

/// The policy with its config.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    limits: Limits,
    lists: Lists,
    store: Store,
    is_open: bool,
    status: u16,
}

impl Policy for ConcurrencyLimit {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "concurrency-limit",
        version: env!("CARGO_PKG_VERSION"),
        description: "Limits how many requests of a caller are in flight at once",
        annotations: &[("optional-imports", "kv,redis,metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let (limits, lists) = config.check()?;
        Ok(Self {
            store: Store::new(config.timeout.as_micros(), config.gateways()),
            limits,
            lists,
            is_open: config.on_store_error == OnStoreError::Open,
            status: config.status,
        })
    }
}

impl OnRequest for ConcurrencyLimit {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        match self.lists.find(exchange) {
            Some(Listed::Allowed) => {
                self.count_all("exempt");
                return Ok(RequestVerdict::Next);
            }
            Some(Listed::Denied) => {
                self.count_all("forbidden");
                return Ok(RequestVerdict::Respond(answer::listed()));
            }
            None => {}
        }
        let claims = self.limits.claims(exchange);
        Ok(match self.store.acquire(&claims, random::next()) {
            Ok((outcome, hold)) => {
                self.count(&outcome, hold.place);
                if !outcome.passes() {
                    let refusal = answer::refused(&self.limits, &outcome, self.status);
                    return Ok(RequestVerdict::Respond(refusal));
                }
                exchange.set_state(&hold.to_state());
                RequestVerdict::Next
            }
            Err(error) => self.degrade(&error),
        })
    }
}

impl OnLog for ConcurrencyLimit {
    fn on_log(&self, exchange: &Exchange, _: Option<&Response>, _: Summary) {
        let state = exchange.get_state();
        let Some(hold) = state.and_then(|state| Hold::from_state(&state)) else {
            return;
        };
        // What is not released now is when its time is up.
        if let Err(error) = self.store.release(&hold) {
            tell("a place was not given back", &error);
        }
    }
}

impl ConcurrencyLimit {
    /// Counts each limit of a request that passes, and of another one those that refuse it.
    fn count(&self, outcome: &Outcome, place: Place) {
        for (i, name) in self.limits.names().enumerate() {
            let word = match (outcome.holds(i), outcome.is_shadow(i), place) {
                (true, ..) if !outcome.passes() => continue,
                (true, _, Place::Store | Place::Memory) => "allowed",
                (true, _, Place::Alone) => "degraded_local",
                (false, true, _) => "shadow_limited",
                (false, false, Place::Store | Place::Memory) => "limited",
                (false, false, Place::Alone) => "degraded_local_limited",
            };
            count(name, word);
        }
    }

    fn count_all(&self, outcome: &str) {
        self.limits.names().for_each(|name| count(name, outcome));
    }

    fn degrade(&self, error: &StoreError) -> RequestVerdict {
        tell("the concurrency limit's store gave no answer", error);
        // Limits that only watch refuse nothing, whatever becomes of their store.
        if self.is_open || self.limits.all_watch() {
            self.count_all("degraded_open");
            return RequestVerdict::Next;
        }
        self.count_all("degraded_closed");
        RequestVerdict::Respond(answer::store_failed())
    }
}

/// At debug, since a store that is down fails each request; the metric tells that it does.
fn tell(message: &str, error: &StoreError) {
    if log::enabled(log::Level::Debug) {
        let error = error.to_string();
        log::debug(message, &[("error", &error)]);
    }
}

fn count(limit: &str, outcome: &str) {
    let labels = [("limit", limit), ("outcome", outcome)];
    metrics::count("concurrencylimit.decisions", 1.0, &labels);
}

portcullis_sdk::export!(ConcurrencyLimit: on_request, on_log; config_schema = include_str!("../config.schema.json"));
