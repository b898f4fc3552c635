//! The terms on which a case has its policy run: grants and limits, checked as the gateway's config is.

use std::path::Path;

use portcullis_config::{Isolation, Policy as PolicyConfig};
use serde_json::{Map, Value, json};

use super::case_file::{Case, CaseFile, Grants};
use crate::policy::wanted::bounds;
use crate::wasm::compile::message::{OutcallTrial, Trial, UseTerms};
use crate::wasm::policy::Running;

/// Name of the policy, its route and its upstream in a case.
pub(super) const NAME: &str = "test";
/// Name of the Redis binding.
const BINDING: &str = "memory";

/// A case's terms.
pub(super) struct Terms {
    /// As the gateway's config has them.
    pub(super) policy: PolicyConfig,
    /// With the texts of secrets.
    pub(super) grants: Grants,
    /// The use's config, in JSON.
    pub(super) config: String,
}

impl Terms {
    /// Of that case in that file, or all that is wrong with them.
    pub(super) fn of(case: &Case, file: &CaseFile) -> Result<Self, String> {
        let grants = case.grants.as_ref().unwrap_or(&file.grants);
        let limits = case.limits.as_ref().unwrap_or(&file.limits);
        let isolation = case.isolation.unwrap_or(file.isolation);
        let config = case.config.as_ref().unwrap_or(&file.config);
        Ok(Self {
            policy: checked(grants, limits, isolation)?,
            grants: grants.clone(),
            config: Value::Object(config.clone()).to_string(),
        })
    }

    /// What is compiled for them; with `tried` the use is tried by a smoke call too.
    pub(super) fn used(&self, tried: bool) -> UseTerms {
        UseTerms {
            config: self.config.clone(),
            bounds: bounds(&self.policy.limits),
            trial: tried.then(|| self.trial()),
        }
    }

    /// How it is run.
    pub(super) fn running(&self) -> Running {
        Running {
            isolation: self.policy.isolation,
            time: self.policy.limits.time,
            bounds: bounds(&self.policy.limits),
        }
    }

    /// Names of the upstreams by their places: the route's own, and those that are granted.
    pub(super) fn upstreams(&self) -> Vec<String> {
        let granted = self.grants.upstreams.iter().chain(&self.grants.outcall);
        let mut names = vec![NAME.to_owned()];
        for name in granted {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn trial(&self) -> Trial {
        let (grants, limits) = (&self.grants, &self.policy.limits);
        Trial {
            kv: grants.kv.is_some(),
            redis_scripts: grants.redis.as_ref().map(|redis| redis.scripts),
            upstreams: grants.upstreams.clone(),
            outcall: (!grants.outcall.is_empty()).then(|| OutcallTrial {
                upstreams: grants.outcall.clone(),
                calls: limits.outcalls,
                body_bytes: usize::try_from(limits.outcall_body).unwrap_or(usize::MAX),
            }),
            secrets: grants.secrets.clone(),
        }
    }
}

/// Has the gateway's config say whether grants and limits are right: it knows their ranges and words.
fn checked(
    grants: &Grants,
    limits: &Map<String, Value>,
    isolation: Isolation,
) -> Result<PolicyConfig, String> {
    let mut granted = Map::new();
    if let Some(kv) = &grants.kv {
        let max = kv.max_bytes.map(|max| ("max_bytes", json!(max)));
        granted.insert("kv".to_owned(), max.into_iter().collect());
    }
    if grants.metrics.is_some() {
        granted.insert("metrics".to_owned(), json!({}));
    }
    if let Some(redis) = &grants.redis {
        let grant = json!({ "binding": BINDING, "prefix": "test:", "scripts": redis.scripts });
        granted.insert("redis".to_owned(), grant);
    }
    if !grants.upstreams.is_empty() {
        granted.insert("upstreams".to_owned(), json!(grants.upstreams));
    }
    if !grants.outcall.is_empty() {
        granted.insert("outcall".to_owned(), json!({ "upstreams": grants.outcall }));
    }
    let upstream = json!({ "endpoints": ["http://127.0.0.1:1"] });
    let named = grants.upstreams.iter().chain(&grants.outcall);
    let mut upstreams: Map<String, Value> =
        named.map(|name| (name.clone(), upstream.clone())).collect();
    upstreams.insert(NAME.to_owned(), upstream);
    let config = json!({
        "listeners": [{ "name": "http", "address": "127.0.0.1:1" }],
        "redis": { BINDING: { "url": "redis://127.0.0.1:1" } },
        "upstreams": upstreams,
        "policies": { NAME: {
            "component": format!("builtin:{NAME}"),
            "isolation": isolation,
            "grants": granted,
            "limits": limits,
        } },
        "routes": [{ "name": NAME, "upstream": NAME }],
    });
    policy(&config, grants)
}

fn policy(config: &Value, grants: &Grants) -> Result<PolicyConfig, String> {
    let parsed = portcullis_config::parse(&config.to_string(), Path::new(""));
    let mut parsed = parsed.map_err(|errors| {
        let inner = format!("policies.{NAME}.");
        let problems = errors.problems.iter();
        let said = problems.map(|problem| {
            let path = problem.path.strip_prefix(&inner).unwrap_or(&problem.path);
            format!("{path}: {}", problem.message)
        });
        said.collect::<Vec<_>>().join("; ")
    })?;
    let mut policy =
        (parsed.policies.remove(NAME)).ok_or("the policy is missing from its config")?;
    policy.grants.secrets = grants.secrets.keys().cloned().collect();
    Ok(policy)
}
