//! From a policy's entry in the config to a component that is checked, and from a use of it to one
//! that is ready to serve.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portcullis_config::{Capability, ComponentSource, Config, Policy as PolicyConfig};
use portcullis_config::{ConfigErrors, Lines, Problem, pointer_to_path};
use sha2::{Digest as _, Sha256};

use super::component_bytes;
use super::fault_circuit::FaultCircuit;
use super::fault_circuits::{FaultCircuits, UseIdentity};
use super::info::PolicyInfo;
use super::wanted::{MadeUses, Wanted, bounds};
use crate::capability::Capabilities;
use crate::capability::log_budget::LogBudget;
use crate::capability::outcall::OutcallGrant;
use crate::capability::redis::{RedisBinding, RedisGrant};
use crate::policy_store::active::ActiveVersions;
use crate::route::destination::Target;
use crate::snapshot::Foundations;
use crate::telemetry::metrics::Metrics;
use crate::wasm::Phase;
use crate::wasm::compile::compiler::{PrepareError, Source};
use crate::wasm::compile::message::UseTerms;
use crate::wasm::component::PolicyComponent;
use crate::wasm::engine::Engines;
use crate::wasm::policy::{Policy, Running};
use crate::wasm::prepared::Prepared;

/// Loads components; one that was loaded before is not described again, and a use that serves is not made again.
pub struct PolicyLoader {
    engines: Arc<Engines>,
    loaded: Mutex<HashMap<[u8; 32], Arc<PolicyComponent>>>,
    /// Where it is counted what loading takes, if anywhere.
    metrics: Option<Arc<Metrics>>,
}

/// A policy of the config with its component.
pub struct LoadedPolicy {
    name: String,
    config: PolicyConfig,
    component: Arc<PolicyComponent>,
    /// Of the policy store, if it comes from there.
    version: Option<u64>,
    uses: MadeUses,
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
            metrics: None,
        }
    }

    /// Has what loading takes counted there.
    pub fn measured(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Loads every policy that is wanted, and makes its uses ready; what can't be loaded is on the list of problems.
    pub async fn load_all(
        &self,
        wanted: &Wanted<'_>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, LoadedPolicy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in wanted.policies {
            let path = |key| pointer_to_path("policies", &format!("/{name}/{key}"));
            let terms = wanted.uses(name, policy);
            match self
                .load_with(&policy.component, wanted.active, terms)
                .await
            {
                Ok((component, uses)) => {
                    for message in missing_grants(&component, policy) {
                        problems.push(wanted.lines.problem(path("grants"), message));
                    }
                    let loaded = LoadedPolicy {
                        name: name.clone(),
                        config: policy.clone(),
                        component,
                        version: version(&policy.component, wanted.active),
                        uses,
                    };
                    policies.insert(name.clone(), loaded);
                }
                Err(message) => problems.push(wanted.lines.problem(path("component"), message)),
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
        Ok(self.load_with(source, active, Vec::new()).await?.0)
    }

    /// The same, with all its uses in a config that is to serve: as long as the answer is kept, they are not made again.
    /// What is wrong with a use is told by [`PolicyLoader::load_all`].
    pub async fn load_for(
        &self,
        source: &ComponentSource,
        wanted: &Wanted<'_>,
    ) -> Result<(Arc<PolicyComponent>, MadeUses), String> {
        let policies = wanted.policies.iter();
        let named = policies.filter(|(_, policy)| policy.component == *source);
        let terms = named.flat_map(|(name, policy)| wanted.uses(name, policy));
        self.load_with(source, wanted.active, terms.collect()).await
    }

    async fn load_with(
        &self,
        source: &ComponentSource,
        active: &ActiveVersions,
        terms: Vec<UseTerms>,
    ) -> Result<(Arc<PolicyComponent>, MadeUses), String> {
        let bytes = component_bytes::read(source, active)?;
        let named = |error: &dyn Display| format!("{source}: {error}");
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let known = self.lock().get(&digest).cloned();
        let unknown = Source {
            bytes: &bytes,
            digest,
            description: None,
        };
        let component = known.as_ref().map_or(unknown, |known| known.source());
        let made = self.engines.compiler.make(&component, &terms).await;
        let made = made.map_err(|error| named(&error))?;
        if let (Some(metrics), Some(took)) = (&self.metrics, made.took) {
            metrics.config.compiled(took);
        }
        let uses = terms.into_iter().map(|terms| terms.config).zip(made.uses);
        let uses = uses.collect();
        if let Some(component) = known {
            return Ok((component, uses));
        }
        let component = PolicyComponent::new(bytes, digest, made.description);
        let component = Arc::new(component.map_err(|error| named(&error))?);
        self.lock().insert(digest, component.clone());
        Ok((component, uses))
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
            .load_all(&Wanted::by_refused(&named, &active, sound), &mut problems)
            .await;
        for used in &sound.uses {
            let configured = ConfiguredUse {
                route: used.route,
                place: used.place,
                config: &used.config,
                lines: &sound.lines,
            };
            if let Some(policy) = policies.get(&used.policy) {
                problems.extend(policy.prepared(&configured).err().unwrap_or_default());
            }
        }
        errors.with(problems)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<PolicyComponent>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadedPolicy {
    /// One use of it, with what it is granted.
    pub fn prepare(
        &self,
        used: &ConfiguredUse<'_>,
        capabilities: Capabilities,
    ) -> Result<Policy, Vec<Problem>> {
        let running = Running {
            isolation: self.config.isolation,
            time: self.config.limits.time,
            bounds: bounds(&self.config.limits),
        };
        let prepared = self
            .prepared(used)?
            .ok_or_else(|| used.unwanted(&self.name))?;
        Ok(Policy::new(prepared, Arc::new(capabilities), running))
    }

    /// What was made of that use; `None` where it was only checked.
    fn prepared(&self, used: &ConfiguredUse<'_>) -> Result<Option<Arc<Prepared>>, Vec<Problem>> {
        let prepared = match self.uses.get(&used.config.to_string()) {
            Some(Ok(prepared)) => prepared.clone(),
            Some(Err(error)) => return Err(used.problems(&self.name, error)),
            None => None,
        };
        match self.streams() {
            Some(phase) if self.config.limits.body == 0 => {
                Err(used.problems(&self.name, &PrepareError::NoBody(phase)))
            }
            _ => Ok(prepared),
        }
    }

    /// A hook through which bodies stream, if it exports one.
    fn streams(&self) -> Option<Phase> {
        let mut hooks = self.component.hooks.iter().copied();
        hooks.find(|phase| matches!(phase, Phase::OnRequestBody | Phase::OnResponseBody))
    }

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
        let measured = &foundations.metrics;
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
            let max_series = self.config.limits.metric_series as usize;
            measured.policy_counters(&self.name, route, max_series)
        });
        let series = measured.policy_use(&self.name, route);
        let log = LogBudget::new(
            self.config.limits.log_lines,
            series.bind_limit("log_lines"),
            Instant::now(),
        );
        let limit = |key| series.bind_limit(key);
        let outcalls = |upstream: &String| measured.outcall([&self.name, route, upstream]);
        let outcall = grants.outcall.as_ref().map(|grant| OutcallGrant {
            upstreams: targets(config, &grant.upstreams),
            // Both in the order of the names.
            series: grant.upstreams.iter().map(outcalls).collect(),
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
            ..Capabilities::default()
        }
    }
}

impl ConfiguredUse<'_> {
    /// Of one that the policy was not loaded for: a defect of the gateway.
    fn unwanted(&self, policy: &str) -> Vec<Problem> {
        let error =
            PrepareError::Compile("it was not made ready; report it as a defect".to_owned());
        self.problems(policy, &error)
    }

    fn problems(&self, policy: &str, error: &PrepareError) -> Vec<Problem> {
        let problems = match error {
            PrepareError::Config(problems) => problems.clone(),
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

/// An import without a grant is refused, unless the operator has stubbed it or the policy says
/// that it works without.
pub(crate) fn missing_grants(component: &PolicyComponent, policy: &PolicyConfig) -> Vec<String> {
    let excused = |name: &str| {
        policy.stub.iter().any(|stub| stub.name() == name)
            || component
                .manifest()
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
