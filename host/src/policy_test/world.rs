//! What surrounds a policy in a case: time, keys, Redis, upstreams that it calls, metrics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_config::Secret;

use super::case_file::{Case, RedisState};
use super::memory_redis::MemoryRedis;
use super::outcall_script::OutcallScript;
use super::terms::{NAME, Terms};
use crate::capability::Capabilities;
use crate::capability::clock::{Clock, VirtualClock};
use crate::capability::kv::{KvSpace, KvSpaces};
use crate::capability::outcall::OutcallGrant;
use crate::capability::random::{ListedBits, RandomSource};
use crate::capability::redis::{Call, RedisBinding, RedisGrant};
use crate::route::destination::Target;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::policy_use::LimitCounter;
use crate::wasm::bindings::portcullis::capability::redis::Error as RedisError;

/// 2026-01-01T00:00:00Z.
const DEFAULT_START: Duration = Duration::from_secs(1_767_225_600);

/// A case's world.
pub(super) struct World {
    /// Moved by the case.
    pub(super) clock: Arc<VirtualClock>,
    /// The policy's series, among the gateway's.
    pub(super) metrics: Arc<Metrics>,
    /// Who answers the policy's own requests.
    pub(super) outcalls: OutcallScript,
    random: Arc<ListedBits>,
    kv: Arc<KvSpace>,
    redis: Arc<RedisBinding>,
    redis_state: Arc<Mutex<RedisState>>,
    secrets: RefCell<BTreeMap<String, String>>,
}

impl World {
    /// The world at a case's start.
    pub(super) fn new(case: &Case, terms: &Terms) -> Result<Self, String> {
        let clock = Arc::new(VirtualClock::at(start(case.start.as_deref())?));
        let spaces = KvSpaces::default();
        let kv = spaces.open(NAME);
        let kv_bytes = terms.policy.grants.kv.map_or(0, |kv| kv.max_bytes);
        let kv_bytes = usize::try_from(kv_bytes).unwrap_or(usize::MAX);
        spaces.settle(&[(NAME.to_owned(), kv_bytes)].into());
        let redis_state = Arc::new(Mutex::new(RedisState::Up));
        let random = case.random.as_deref().unwrap_or(&[0.5]);
        Ok(Self {
            redis: redis(&clock, &redis_state),
            metrics: Arc::new(Metrics::start().map_err(|error| error.to_string())?),
            outcalls: OutcallScript::new(terms.upstreams()),
            random: Arc::new(ListedBits::new(
                random.iter().map(|part| bits(*part)).collect(),
            )),
            kv,
            redis_state,
            secrets: RefCell::new(terms.grants.secrets.clone()),
            clock,
        })
    }

    /// Has Redis answer so from now on.
    pub(super) fn set_redis(&self, state: &RedisState) {
        *self
            .redis_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = state.clone();
    }

    /// Gives secrets another text.
    pub(super) fn set_secrets(&self, changed: &BTreeMap<String, String>) {
        self.secrets.borrow_mut().extend(changed.clone());
    }

    /// What the policy may use, as the config of the gateway would have it.
    pub(super) fn capabilities(&self, terms: &Terms) -> Capabilities {
        let (grants, limits) = (&terms.policy.grants, &terms.policy.limits);
        let redis = grants
            .redis
            .as_ref()
            .map(|grant| RedisGrant::new(self.redis.clone(), grant.prefix.clone(), grant.scripts));
        let series = limits.metric_series as usize;
        let counters = || self.metrics.policy_counters(NAME, NAME, series);
        let outcall = grants.outcall.as_ref().map(|_| OutcallGrant {
            upstreams: targets(terms, &terms.grants.outcall),
            series: Vec::new(),
            calls: limits.outcalls,
            body_bytes: usize::try_from(limits.outcall_body).unwrap_or(usize::MAX),
            refused_calls: LimitCounter::nowhere(),
            refused_bodies: LimitCounter::nowhere(),
        });
        let secrets = self.secrets.borrow();
        let secrets = secrets.iter();
        Capabilities {
            policy: NAME.into(),
            route: NAME.into(),
            log: None,
            kv: grants.kv.map(|_| self.kv.clone()),
            redis,
            metrics: grants.metrics.map(|_| counters()),
            upstreams: targets(terms, &terms.grants.upstreams),
            secrets: secrets
                .map(|(name, text)| (name.clone(), Secret::new(text)))
                .collect(),
            outcall,
            clock: Clock::Virtual(self.clock.clone()),
            random: RandomSource::Listed(self.random.clone()),
        }
    }
}

fn targets(terms: &Terms, names: &[String]) -> Vec<Target> {
    let upstreams = terms.upstreams();
    let place = |name: &String| upstreams.iter().position(|known| known == name);
    let target = |name: &String| Target {
        place: place(name).unwrap_or_default(),
        name: name.as_str().into(),
    };
    names.iter().map(target).collect()
}

/// A binding to a server in memory.
fn redis(clock: &Arc<VirtualClock>, state: &Arc<Mutex<RedisState>>) -> Arc<RedisBinding> {
    let server = MemoryRedis::new(Clock::Virtual(clock.clone()));
    let state = state.clone();
    Arc::new(RedisBinding::stub(move |call: Call| {
        match &*state.lock().unwrap_or_else(PoisonError::into_inner) {
            RedisState::Up => server.call(&call).map_err(RedisError::Server),
            RedisState::Down => Err(RedisError::Unavailable("the server is down".to_owned())),
            RedisState::Slow => Err(RedisError::TimedOut),
            RedisState::Error(answer) => Err(RedisError::Server(answer.clone())),
        }
    }))
}

/// That fraction of all 64 bits.
fn bits(part: f64) -> u64 {
    // Saturates at both ends.
    (part * 2f64.powi(64)) as u64
}

fn start(text: Option<&str>) -> Result<Duration, String> {
    let Some(text) = text else {
        return Ok(DEFAULT_START);
    };
    let time = humantime::parse_rfc3339(text)
        .map_err(|error| format!("start: {error}; write it as 2026-01-01T00:00:00Z"))?;
    let since = time.duration_since(std::time::UNIX_EPOCH);
    since.map_err(|_| "start: before 1970".to_owned())
}
