//! A shared HTTP cache (RFC 9111) before an upstream: in Redis for all gateways, or in the memory of one.
//!
//! This file is the policy and what it counts. `look_up` answers requests, `receive` keeps responses; what may be kept and for how
//! long is in the pure modules, each named after a part of the RFC.

pub mod answer;
pub mod cache_control;
pub mod cache_status;
pub mod config;
pub mod fields;
pub mod freshness;
pub mod keep;
pub mod key;
pub mod look_up;
pub mod receive;
pub mod record;
pub mod request;
pub mod reuse;
pub mod state;
pub mod store;
pub mod storing;
pub mod validation;
pub mod variant;

use portcullis_sdk::{
    ConfigProblem, Exchange, Manifest, OnRequest, OnResponse, Policy, RequestVerdict, Response,
    ResponseVerdict, clock, log, metrics,
};

use cache_status::Forward;
use config::Config;
use freshness::Lifetimes;
use key::{QueryRules, Target};
use request::{Part, RequestRules};
use state::State;
use store::{Failure, Store};

/// The policy with its config.
#[derive(Debug)]
pub struct ResponseCache {
    store: Store,
    requests: RequestRules,
    query: QueryRules,
    lifetimes: Lifetimes,
    keep_stale_s: u64,
    max_body_bytes: u32,
}

impl Policy for ResponseCache {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "response-cache",
        version: env!("CARGO_PKG_VERSION"),
        description: "A shared HTTP cache (RFC 9111), in Redis or in the gateway's memory",
        annotations: &[("optional-imports", "kv,redis,metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            store: config.store(),
            requests: config.request_rules(),
            query: config.query_rules(),
            lifetimes: config.lifetimes(),
            keep_stale_s: config.keep_stale.as_millis() / 1_000,
            max_body_bytes: config.max_body_bytes,
        })
    }
}

impl OnRequest for ResponseCache {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let (head, fields) = (exchange.head(), exchange.headers());
        let part = self.requests.part(&head.method, &fields);
        if let Part::Pass(forward) = part {
            count("bypass");
            return Ok(pass(exchange, forward));
        }
        let key = self.query.key(&Target {
            route: &exchange.attribute("route").unwrap_or_default(),
            scheme: &head.scheme,
            authority: &head.authority,
            path_with_query: &head.path_with_query,
        });
        if part == Part::Invalidate {
            exchange.set_state(&State::Changing(key).to_bytes());
            return Ok(RequestVerdict::Next);
        }
        self.look_up(exchange, key, fields, head.method == "HEAD")
    }
}

impl OnResponse for ResponseCache {
    fn on_response(
        &self,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<ResponseVerdict, String> {
        let state = exchange.get_state();
        match state.and_then(|state| State::from_bytes(&state)) {
            None => Ok(ResponseVerdict::Next),
            Some(State::Passing(forward)) => tell(response, cache_status::forwarded(forward)),
            Some(State::Changing(key)) => {
                self.invalidate(&key, response.status());
                tell(response, cache_status::forwarded(Forward::Method))
            }
            Some(State::Asking(question)) => self.receive(exchange, response, question),
        }
    }
}

impl ResponseCache {
    /// RFC 9111 §4.4: a change that was no error makes what is kept untrue, in all its variants.
    fn invalidate(&self, key: &str, status: u16) {
        if !(200..400).contains(&status) {
            return;
        }
        match self.store.delete(key) {
            Ok(()) => count("invalidated"),
            Err(failure) => fail(&failure),
        }
    }
}

/// The request goes on, and the response says why.
fn pass(exchange: &Exchange, forward: Forward) -> RequestVerdict {
    exchange.set_state(&State::Passing(forward).to_bytes());
    RequestVerdict::Next
}

/// Says in the response what the cache has done.
fn tell(response: &Response, status: String) -> Result<ResponseVerdict, String> {
    response.append_header(cache_status::FIELD, status)?;
    Ok(ResponseVerdict::Next)
}

/// A request was decided on so.
fn count(outcome: &str) {
    metrics::count("cache.decisions", 1.0, &[("outcome", outcome)]);
}

/// A response was kept, or not.
fn count_kept(outcome: &str) {
    metrics::count("cache.stores", 1.0, &[("outcome", outcome)]);
}

/// The store failed: the request is a miss. At debug, since a store that is down fails each request; the metric tells that it
/// does.
fn fail(failure: &Failure) {
    count("store_error");
    let why = match failure {
        Failure::Full => "full",
        Failure::Failed(why) => why,
    };
    log::debug("the cache's store failed", &[("error", why)]);
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    clock::unix_us() / 1_000
}

portcullis_sdk::export!(ResponseCache: on_request, on_response; config_schema = include_str!("../config.schema.json"));
