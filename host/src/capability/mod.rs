//! What policies may use of the world, one file per interface of the contract.
//!
//! A capability is granted by name in the config. The functions are there for every policy; one
//! that was not granted finds nothing behind them and is told `denied`. During `describe` and
//! `configure` nothing granted is to be had, so that their outcome depends on the config alone.

pub mod clock;
pub mod kv;
pub mod log;
pub mod log_budget;
pub mod metrics;
pub mod outcall;
pub mod random;
pub mod redis;
pub mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_config::Secret;

use self::clock::Clock;
use self::kv::KvSpace;
use self::log_budget::LogBudget;
use self::outcall::OutcallGrant;
use self::random::RandomSource;
use self::redis::RedisGrant;
use crate::route::destination::Target;
use crate::telemetry::policy::PolicyCounters;

/// The grants of one use of a policy, and the names under which it appears.
#[derive(Default)]
pub struct Capabilities {
    /// The policy's name in the config.
    pub policy: Arc<str>,
    /// The route that uses it.
    pub route: Arc<str>,
    /// Lines that it may log; `None`: as many as a hook may.
    pub log: Option<LogBudget>,
    /// Its space of keys in this process.
    pub kv: Option<Arc<KvSpace>>,
    /// Its Redis binding.
    pub redis: Option<RedisGrant>,
    /// Counters of its own.
    pub metrics: Option<Arc<PolicyCounters>>,
    /// Where it may send requests in place of the route's upstream.
    pub upstreams: Vec<Target>,
    /// What it may read, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Requests of its own.
    pub outcall: Option<OutcallGrant>,
    /// Its time.
    pub clock: Clock,
    /// Its random bits.
    pub random: RandomSource,
}

impl Capabilities {
    /// Nothing granted: for `describe` and `configure`.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }
}
