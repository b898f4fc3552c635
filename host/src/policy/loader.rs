//! From a policy's entry in the config to a component that is checked, and from a use of it to one
//! that is ready to serve.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_config::Config;
use portcullis_config::Problem;
use portcullis_config::{ComponentSource, Policy as PolicyConfig};
use sha2::{Digest as _, Sha256};

use crate::capability::Capabilities;
use crate::capability::redis::{RedisBinding, RedisGrant};
use crate::snapshot::Foundations;
use crate::telemetry::policy::PolicyCounters;
use crate::wasm::component::PolicyComponent;
use crate::wasm::engine::Engines;
use crate::wasm::policy::{Policy, PrepareError, Running};

/// A larger file is no policy; Python's with its interpreter are 18 MB.
const MAX_COMPONENT_BYTES: u64 = 64 << 20;

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
}

/// A problem's JSON Pointer into the use's config, and what it is.
pub type UseProblem = (String, String);

impl PolicyLoader {
    /// Nothing is loaded yet.
    pub fn new(engines: Arc<Engines>) -> Self {
        Self {
            engines,
            loaded: Mutex::default(),
        }
    }

    /// Loads every policy of the config; what can't be loaded is on the list of problems.
    pub async fn load_all(
        &self,
        config: &Config,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, LoadedPolicy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in &config.policies {
            let path = format!("policies.{name}");
            match self.load(&policy.component).await {
                Ok(component) => {
                    for message in missing_grants(&component, policy) {
                        problems.push(config.problem(format!("{path}.grants"), message));
                    }
                    let loaded = LoadedPolicy {
                        name: name.clone(),
                        config: policy.clone(),
                        component,
                    };
                    policies.insert(name.clone(), loaded);
                }
                Err(message) => problems.push(config.problem(format!("{path}.component"), message)),
            }
        }
        policies
    }

    /// The component behind a source, checked; a message that names it and the remedy otherwise.
    pub async fn load(&self, source: &ComponentSource) -> Result<Arc<PolicyComponent>, String> {
        let bytes = match source {
            ComponentSource::Builtin(name) => builtin(name)?.to_vec(),
            ComponentSource::File(path) => read(path)?,
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

    /// Configures one use of a policy.
    pub async fn prepare(
        &self,
        policy: &LoadedPolicy,
        config: &serde_json::Value,
        capabilities: Capabilities,
    ) -> Result<Policy, Vec<UseProblem>> {
        let limits = policy.config.limits;
        let running = Running {
            isolation: policy.config.isolation,
            time: limits.time,
            memory_bytes: usize::try_from(limits.memory).unwrap_or(usize::MAX),
        };
        Policy::prepare(
            &self.engines,
            &policy.component,
            config,
            Arc::new(capabilities),
            running,
        )
        .await
        .map_err(|error| use_problems(&policy.name, error))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<PolicyComponent>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadedPolicy {
    /// What the config grants this policy on that route.
    pub fn capabilities(
        &self,
        route: &str,
        redis: &BTreeMap<String, Arc<RedisBinding>>,
        foundations: &Foundations,
    ) -> Capabilities {
        let grants = &self.config.grants;
        let kv = grants.kv.as_ref().map(|kv| {
            foundations.kv.open(
                &self.name,
                usize::try_from(kv.max_bytes).unwrap_or(usize::MAX),
            )
        });
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
            ))
        });
        Capabilities {
            policy: self.name.as_str().into(),
            route: route.into(),
            kv,
            redis,
            metrics,
        }
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
    let granted = |name: &str| match name {
        "kv" => policy.grants.kv.is_some(),
        "redis" => policy.grants.redis.is_some(),
        "metrics" => policy.grants.metrics.is_some(),
        _ => false,
    };
    let line = |name: &str| match name {
        "redis" => "redis: { binding: NAME, prefix: \"…\" }".to_owned(),
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

fn use_problems(policy: &str, error: PrepareError) -> Vec<UseProblem> {
    match error {
        PrepareError::Config(problems) => problems,
        other => vec![(String::new(), format!("policy {policy:?}: {other}"))],
    }
}
