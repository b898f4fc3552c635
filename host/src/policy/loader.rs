//! From a policy's entry in the config to a component that is checked, and from a use of it to one
//! that is ready to serve.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portcullis_config::{Capability, ComponentSource, Config, Policy as PolicyConfig};
use portcullis_config::{ConfigErrors, Lines, Problem, pointer_to_path};
use sha2::{Digest as _, Sha256};

use super::fault_circuit::FaultCircuit;
use super::fault_circuits::{FaultCircuits, UseIdentity};
use super::info::PolicyInfo;
use crate::capability::Capabilities;
use crate::capability::log_budget::LogBudget;
use crate::capability::outcall::OutcallGrant;
use crate::capability::redis::{RedisBinding, RedisGrant};
use crate::policy_store::active::ActiveVersions;
use crate::route::destination::Target;
use crate::snapshot::Foundations;
use crate::telemetry::policy::PolicyCounters;
use crate::wasm::component::PolicyComponent;
use crate::wasm::engine::Engines;
use crate::wasm::limiter::Bounds;
use crate::wasm::policy::{Policy, PrepareError, Running};

/// A larger file is no policy; Python's with its interpreter are 18 MB.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// The policies that the binary carries, by name.
const BUILTIN: &[(&str, &[u8])] = &[
    (
        "rate-limit",
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/policies/rate-limit.wasm"
        )),
    ),
    (
        "retry",
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/policies/retry.wasm"
        )),
    ),
];

/// Loads components; one that was loaded before is not compiled again.
pub struct PolicyLoader {
    engines: Arc<Engines>,
    loaded: Mutex<HashMap<[u8; 32], Arc<PolicyComponent>>>,
}

/// A policy of the config with its component.
pub struct LoadedPolicy {
    name: String,
    config: PolicyConfig,
    component: Arc<PolicyComponent>,
    /// Of the policy store, if it comes from there.
    version: Option<u64>,
}

/// A use of a policy in the config.
pub struct ConfiguredUse<'a> {
    /// Index of its route.
    pub route: usize,
    /// Its index in the route's policies.
    pub place: usize,
    /// What it is configured with.
    pub config: &'a serde_json::Value,
    /// Where that is written.
    pub lines: &'a Lines,
}

impl PolicyLoader {
    /// Nothing is loaded yet.
    pub fn new(engines: Arc<Engines>) -> Self {
        Self {
            engines,
            loaded: Mutex::default(),
        }
    }

    /// Loads every policy of `configured`, whose places are in `lines`, those of the store in their
    /// `active` versions; what can't be loaded is on the list of problems.
    pub async fn load_all(
        &self,
        configured: &BTreeMap<String, PolicyConfig>,
        active: &ActiveVersions,
        lines: &Lines,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, LoadedPolicy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in configured {
            let path = |key| pointer_to_path("policies", &format!("/{name}/{key}"));
            match self.load(&policy.component, active).await {
                Ok(component) => {
                    for message in missing_grants(&component, policy) {
                        problems.push(lines.problem(path("grants"), message));
                    }
                    let loaded = LoadedPolicy {
                        name: name.clone(),
                        config: policy.clone(),
                        component,
                        version: version(&policy.component, active),
                    };
                    policies.insert(name.clone(), loaded);
                }
                Err(message) => problems.push(lines.problem(path("component"), message)),
            }
        }
        // What no policy of this config uses is let go.
        self.lock().retain(|_, known| {
            let mut used = policies.values().map(|policy| &policy.component);
            used.any(|component| Arc::ptr_eq(component, known))
        });
        policies
    }

    /// The component behind a source, checked; a message that names it and the remedy otherwise.
    pub async fn load(
        &self,
        source: &ComponentSource,
        active: &ActiveVersions,
    ) -> Result<Arc<PolicyComponent>, String> {
        let bytes = match source {
            ComponentSource::Builtin(name) => builtin(name)?.to_vec(),
            ComponentSource::File(path) => read(path)?,
            ComponentSource::Store(name) => active.read(name)?,
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if let Some(component) = self.lock().get(&digest) {
            return Ok(component.clone());
        }
        let component = PolicyComponent::load(&self.engines, bytes)
            .await
            .map_err(|error| format!("{source}: {error}"))?;
        let component = Arc::new(component);
        self.lock().insert(digest, component.clone());
        Ok(component)
    }

    /// Adds the problems of policies and of their configs to those of a config that is refused anyway.
    /// Those of a store that is not known (`active` is `None`) are left out.
    pub async fn check_on(
        &self,
        errors: ConfigErrors,
        active: Option<&ActiveVersions>,
    ) -> ConfigErrors {
        let sound = &errors.sound;
        let mut problems = Vec::new();
        let mut named = sound.policies.clone();
        if active.is_none() {
            named.retain(|_, policy| !matches!(policy.component, ComponentSource::Store(_)));
        }
        let active = active.cloned().unwrap_or_default();
        let policies = self
            .load_all(&named, &active, &sound.lines, &mut problems)
            .await;
        for used in &sound.uses {
            let Some(policy) = policies.get(&used.policy) else {
                continue;
            };
            let configured = ConfiguredUse {
                route: used.route,
                place: used.place,
                config: &used.config,
                lines: &sound.lines,
            };
            let prepared = self.prepare(policy, &configured, Capabilities::default());
            problems.extend(prepared.await.err().unwrap_or_default());
        }
        errors.with(problems)
    }

    /// Configures one use of a policy.
    pub async fn prepare(
        &self,
        policy: &LoadedPolicy,
        used: &ConfiguredUse<'_>,
        capabilities: Capabilities,
    ) -> Result<Policy, Vec<Problem>> {
        let limits = policy.config.limits;
        let running = Running {
            isolation: policy.config.isolation,
            time: limits.time,
            bounds: Bounds {
                memory_bytes: usize::try_from(limits.memory).unwrap_or(usize::MAX),
                table_elements: limits.table_elements as usize,
                handles: limits.handles as usize,
                host_calls: limits.host_calls,
                body_bytes: usize::try_from(limits.body).unwrap_or(usize::MAX),
            },
        };
        Policy::prepare(
            &self.engines,
            &policy.component,
            used.config,
            Arc::new(capabilities),
            running,
        )
        .await
        .map_err(|error| used.problems(&policy.name, error))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<PolicyComponent>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadedPolicy {
    /// What is told of it.
    pub fn info(&self) -> PolicyInfo {
        PolicyInfo::of(&self.name, &self.config, &self.component, self.version)
    }

    /// Bytes that its space of keys may have, if it is granted one.
    pub fn kv_quota(&self) -> Option<usize> {
        let kv = self.config.grants.kv?;
        Some(usize::try_from(kv.max_bytes).unwrap_or(usize::MAX))
    }

    /// The fault circuit of its use at that place of that route, if it is to have one.
    pub fn fault_circuit(
        &self,
        (route, place): (&str, usize),
        config: &serde_json::Value,
        circuits: &FaultCircuits,
    ) -> Option<Arc<FaultCircuit>> {
        let settings = self.config.fault_circuit?;
        let identity = UseIdentity {
            digest: self.component.digest.clone(),
            terms: self.config.clone(),
            config: config.clone(),
        };
        Some(circuits.open((route, &self.name, place), identity, settings))
    }

    /// What the config grants this policy on that route.
    pub fn capabilities(
        &self,
        route: &str,
        config: &Config,
        redis: &BTreeMap<String, Arc<RedisBinding>>,
        foundations: &Foundations,
    ) -> Capabilities {
        let grants = &self.config.grants;
        let kv = grants.kv.map(|_| foundations.kv.open(&self.name));
        let redis = grants.redis.as_ref().and_then(|grant| {
            let binding = redis.get(&grant.binding)?.clone();
            Some(RedisGrant::new(
                binding,
                grant.prefix.clone(),
                grant.scripts,
            ))
        });
        let metrics = grants.metrics.map(|_| {
            Arc::new(PolicyCounters::new(
                foundations.metrics.clone(),
                &self.name,
                route,
                self.config.limits.metric_series as usize,
            ))
        });
        let uses = &foundations.metrics.policy_uses;
        let log = LogBudget::new(
            self.config.limits.log_lines,
            uses.bind_limit(&self.name, route, "log_lines"),
            Instant::now(),
        );
        let limit = |key| uses.bind_limit(&self.name, route, key);
        let outcall = grants.outcall.as_ref().map(|grant| OutcallGrant {
            upstreams: targets(config, &grant.upstreams),
            calls: self.config.limits.outcalls,
            body_bytes: usize::try_from(self.config.limits.outcall_body).unwrap_or(usize::MAX),
            refused_calls: limit("outcalls"),
            refused_bodies: limit("outcall_body"),
        });
        let secrets = config.secrets.iter();
        let readable = secrets.filter(|(name, _)| grants.secrets.contains(*name));
        Capabilities {
            policy: self.name.as_str().into(),
            route: route.into(),
            log: Some(log),
            kv,
            redis,
            metrics,
            upstreams: targets(config, &grants.upstreams),
            secrets: readable
                .map(|(name, secret)| (name.clone(), secret.clone()))
                .collect(),
            outcall,
        }
    }
}

impl ConfiguredUse<'_> {
    fn problems(&self, policy: &str, error: PrepareError) -> Vec<Problem> {
        let problems = match error {
            PrepareError::Config(problems) => problems,
            other => vec![(String::new(), format!("policy {policy:?}: {other}"))],
        };
        let place = |(pointer, message): (String, String)| {
            self.lines
                .policy_config_problem(self.route, self.place, &pointer, message)
        };
        problems.into_iter().map(place).collect()
    }
}

/// Upstreams of the config by their names; the snapshot has them in the same order.
fn targets(config: &Config, names: &BTreeSet<String>) -> Vec<Target> {
    let upstreams = config.upstreams.keys().enumerate();
    let named = upstreams.filter(|(_, name)| names.contains(*name));
    let target = |(place, name): (usize, &String)| Target {
        place,
        name: name.as_str().into(),
    };
    named.map(target).collect()
}

fn version(source: &ComponentSource, active: &ActiveVersions) -> Option<u64> {
    match source {
        ComponentSource::Store(name) => active.get(name).ok().map(|version| version.number),
        ComponentSource::Builtin(_) | ComponentSource::File(_) => None,
    }
}

fn builtin(name: &str) -> Result<&'static [u8], String> {
    BUILTIN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| {
            let known: Vec<&str> = BUILTIN.iter().map(|(known, _)| *known).collect();
            format!(
                "no builtin policy {name:?}; this gateway carries: {}",
                known.join(", ")
            )
        })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let place = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| {
            format!("{place}: {error}; build it with `make policies`, or correct the path")
        })?
        .len();
    if size > MAX_COMPONENT_BYTES {
        return Err(format!(
            "{place}: {size} bytes; a policy has at most {MAX_COMPONENT_BYTES}"
        ));
    }
    std::fs::read(path).map_err(|error| format!("{place}: {error}"))
}

/// An import without a grant is refused, unless the operator has stubbed it or the policy says
/// that it works without.
fn missing_grants(component: &PolicyComponent, policy: &PolicyConfig) -> Vec<String> {
    let excused = |name: &str| {
        policy.stub.iter().any(|stub| stub.name() == name)
            || component
                .manifest
                .optional_imports()
                .any(|optional| optional == name)
    };
    let granted = |name: &str| {
        let mut all = Capability::ALL.into_iter();
        all.any(|capability| capability.name() == name && policy.grants.has(capability))
    };
    let line = |name: &str| match name {
        "redis" => "redis: { binding: NAME, prefix: \"…\" }".to_owned(),
        "secrets" => "secrets: [NAME]".to_owned(),
        "outcall" => "outcall: { upstreams: [NAME] }".to_owned(),
        other => format!("{other}: {{}}"),
    };
    component
        .capabilities()
        .into_iter()
        .filter(|name| !granted(name) && !excused(name))
        .map(|name| {
            format!("the component imports {name:?}, which is not granted; add `grants: {{ {} }}`, or `stub: [{name}]` to deny it", line(name))
        })
        .collect()
}
