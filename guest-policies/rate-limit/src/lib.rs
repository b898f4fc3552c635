//! Rate limits by GCRA: exact, in Redis for all gateways or in the memory of one.
//!
//! This file ties the parts to the gateway; what is decided, and what callers are told, is in the modules.

pub mod answer;
pub mod config;
pub mod cost;
pub mod decision;
pub mod fields;
pub mod gcra;
pub mod kv;
pub mod limits;
pub mod note;
pub mod redis;
pub mod shared;
pub mod store;

use portcullis_keys::{Listed, Lists};
use portcullis_sdk::{
    ConfigProblem, Exchange, FieldOp, Manifest, OnRequest, OnResponse, Policy, RequestVerdict,
    Response, ResponseVerdict, log, metrics,
};

use config::{Config, OnStoreError};
use decision::{Decision, StoreError};
use fields::Told;
use limits::Limits;
use store::{Place, Store};

/// A request is near its limit when less than one in so many of the burst is left after it.
const NEAR_LIMIT_PART: u32 = 5;

/// The policy with its config.
#[derive(Debug)]
pub struct RateLimit {
    limits: Limits,
    lists: Lists,
    store: Store,
    is_open: bool,
    status: u16,
    told: Told,
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
        let (limits, lists) = config.check()?;
        Ok(Self {
            store: Store::new(config.gateways()),
            limits,
            lists,
            is_open: config.on_store_error == OnStoreError::Open,
            status: config.status,
            told: config.fields.told(),
        })
    }
}

impl OnRequest for RateLimit {
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
        Ok(match self.store.decide(&self.limits.demands(exchange)) {
            Ok((decision, place)) => self.verdict(exchange, &decision, place),
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
        if self.told.draft || self.told.legacy {
            let state = exchange.get_state();
            let len = self.limits.as_slice().len();
            if let Some(decision) = state.and_then(|state| Decision::from_state(&state, len)) {
                self.tell(response, &decision)?;
            }
        }
        Ok(ResponseVerdict::Next)
    }
}

impl RateLimit {
    fn verdict(&self, exchange: &Exchange, decision: &Decision, place: Place) -> RequestVerdict {
        self.count(decision, place);
        if !decision.allowed() {
            let refusal = answer::quota_exceeded(&self.limits, decision, self.status, self.told);
            return RequestVerdict::Respond(refusal);
        }
        if self.told.draft || self.told.legacy {
            exchange.set_state(&decision.to_state());
        }
        RequestVerdict::Next
    }

    /// Counts each limit of a request that passes, and of another one those that refuse it.
    fn count(&self, decision: &Decision, place: Place) {
        let passes = decision.allowed();
        let limits = self.limits.as_slice().iter().zip(decision.standings());
        for (limit, standing) in limits {
            let outcome = match (standing.allowed, limit.is_shadow, place) {
                (true, ..) if !passes => continue,
                (true, _, Place::Store) => "allowed",
                (true, _, Place::Alone) => "degraded_local",
                (false, true, _) => "shadow_limited",
                (false, false, Place::Store) => "limited",
                (false, false, Place::Alone) => "degraded_local_limited",
            };
            count(&limit.name, outcome);
            let is_near = standing.remaining < limit.burst.div_ceil(NEAR_LIMIT_PART);
            if standing.allowed && is_near && place == Place::Store {
                metrics::count("ratelimit.near_limit", 1.0, &[("limit", &limit.name)]);
            }
        }
    }

    fn count_all(&self, outcome: &str) {
        self.limits.names().for_each(|name| count(name, outcome));
    }

    fn tell(&self, response: &Response, decision: &Decision) -> Result<(), String> {
        if self.told.draft && !self.limits.policy_field().is_empty() {
            let standing = fields::rate_limit(&self.limits, decision);
            // Appended, since another use of this policy may have its own items.
            response.edit_headers(&[
                FieldOp::Append((
                    fields::RATE_LIMIT_POLICY,
                    self.limits.policy_field().as_bytes(),
                )),
                FieldOp::Append((fields::RATE_LIMIT, standing.as_bytes())),
            ])?;
        }
        if let Some(values) = fields::legacy(&self.limits, decision).filter(|_| self.told.legacy) {
            let texts = values.map(|value| value.to_string());
            let set = |i: usize| FieldOp::Set((fields::LEGACY[i], texts[i].as_bytes()));
            response.edit_headers(&[set(0), set(1), set(2)])?;
        }
        Ok(())
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
        // Limits that only watch refuse nothing, whatever becomes of their store.
        if self.is_open || self.limits.as_slice().iter().all(|limit| limit.is_shadow) {
            self.count_all("degraded_open");
            return RequestVerdict::Next;
        }
        self.count_all("degraded_closed");
        RequestVerdict::Respond(answer::store_failed())
    }
}

fn count(limit: &str, outcome: &str) {
    metrics::count(
        "ratelimit.decisions",
        1.0,
        &[("limit", limit), ("outcome", outcome)],
    );
}

portcullis_sdk::export!(RateLimit: on_request, on_response; config_schema = include_str!("../config.schema.json"));
