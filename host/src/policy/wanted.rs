//! What a config wants of its policies: which components, and which uses of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portcullis_config::{Config, Limits, Lines, Policy as PolicyConfig, Secret, Sound};
use serde_json::Value;

use crate::policy_store::active::ActiveVersions;
use crate::wasm::compile::compiler::PrepareError;
use crate::wasm::compile::message::{OutcallTrial, Trial, UseTerms};
use crate::wasm::limiter::Bounds;
use crate::wasm::prepared::Prepared;

/// The policies of a config with their uses.
pub struct Wanted<'a> {
    /// By name.
    pub policies: &'a BTreeMap<String, PolicyConfig>,
    /// Where they are written.
    pub lines: &'a Lines,
    /// Of the policy store.
    pub active: &'a ActiveVersions,
    uses: Vec<(&'a str, &'a Value)>,
    /// `None`: uses are only checked.
    secrets: Option<&'a BTreeMap<String, Secret>>,
}

/// What became of a policy's uses, by their configs in JSON.
pub type MadeUses = HashMap<String, Result<Option<Arc<Prepared>>, PrepareError>>;

impl<'a> Wanted<'a> {
    /// All of a config that is to serve.
    pub fn by(config: &'a Config, active: &'a ActiveVersions) -> Self {
        let uses = config.routes.iter().flat_map(|route| &route.policies);
        Self {
            policies: &config.policies,
            lines: &config.lines,
            active,
            uses: uses
                .map(|used| (used.policy.as_str(), &used.config))
                .collect(),
            secrets: Some(&config.secrets),
        }
    }

    /// These policies of a config that is refused anyway: they are checked.
    pub fn by_refused(
        policies: &'a BTreeMap<String, PolicyConfig>,
        active: &'a ActiveVersions,
        sound: &'a Sound,
    ) -> Self {
        let uses = sound.uses.iter();
        Self {
            policies,
            lines: &sound.lines,
            active,
            uses: uses
                .map(|used| (used.policy.as_str(), &used.config))
                .collect(),
            secrets: None,
        }
    }

    /// Of one policy: each config once.
    pub fn uses(&self, name: &str, policy: &PolicyConfig) -> Vec<UseTerms> {
        let uses = self.uses.iter().filter(|(used, _)| *used == name);
        let mut configs: Vec<String> = uses.map(|(_, config)| config.to_string()).collect();
        configs.sort_unstable();
        configs.dedup();
        let terms = |config| UseTerms {
            config,
            bounds: bounds(&policy.limits),
            trial: self.secrets.map(|secrets| trial(policy, secrets)),
        };
        configs.into_iter().map(terms).collect()
    }
}

fn trial(policy: &PolicyConfig, secrets: &BTreeMap<String, Secret>) -> Trial {
    let (grants, limits) = (&policy.grants, &policy.limits);
    let granted = secrets
        .iter()
        .filter(|(name, _)| grants.secrets.contains(*name));
    Trial {
        kv: grants.kv.is_some(),
        redis_scripts: grants.redis.as_ref().map(|redis| redis.scripts),
        upstreams: grants.upstreams.iter().cloned().collect(),
        outcall: grants.outcall.as_ref().map(|outcall| OutcallTrial {
            upstreams: outcall.upstreams.iter().cloned().collect(),
            calls: limits.outcalls,
            body_bytes: bytes(limits.outcall_body),
        }),
        secrets: granted
            .map(|(name, secret)| (name.clone(), secret.expose().to_owned()))
            .collect(),
    }
}

/// What a sandbox of a policy with these limits may take.
pub fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        memory_bytes: bytes(limits.memory),
        table_elements: limits.table_elements as usize,
        handles: limits.handles as usize,
        host_calls: limits.host_calls,
        body_bytes: bytes(limits.body),
    }
}

fn bytes(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
