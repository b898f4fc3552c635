//! `GET /api/v1/policies`: the policies of the serving config.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::policy::info::PolicyInfo;
use crate::snapshot::Snapshot;

/// The policies of a revision.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Policies {
    /// Of the config that serves.
    revision: u64,
    /// By name.
    policies: Vec<PolicyStatus>,
}

/// A policy of the config.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyStatus {
    /// Its name in the config.
    name: String,
    /// Where its component comes from.
    component: String,
    /// SHA-256 of the component, in hexadecimal.
    digest: String,
    /// Its version in the policy store, if it comes from there.
    stored_version: Option<u64>,
    /// Of the component.
    size_bytes: usize,
    /// What the component calls itself.
    title: String,
    /// The component's own version.
    version: String,
    /// The component's own words.
    description: String,
    /// `per-request` or `pooled`.
    isolation: String,
    /// The hooks that it exports.
    hooks: Vec<&'static str>,
    /// Capabilities that it imports.
    capabilities: Vec<&'static str>,
    /// Where it is used.
    routes: Vec<String>,
}

/// Lists the policies of the serving config.
#[utoipa::path(get, path = "/api/v1/policies", responses(
    (status = 200, description = "The policies that serve", body = Policies),
    (status = 401, description = "No token, or none that is known", body = Refusal),
))]
pub(in crate::control) async fn policies(State(state): State<Arc<ControlState>>) -> Json<Policies> {
    let snapshot = state.gateway.publisher.shared().snapshot.load();
    let policies = snapshot.policies.iter();
    Json(Policies {
        revision: snapshot.revision,
        policies: policies.map(|policy| of(policy, &snapshot)).collect(),
    })
}

fn of(policy: &PolicyInfo, snapshot: &Snapshot) -> PolicyStatus {
    let uses = |chain: &[crate::policy::PolicyUse]| {
        let mut members = chain.iter();
        members.any(|member| *member.name == *policy.name)
    };
    let routes = snapshot.routes.iter().filter(|route| uses(&route.chain));
    let mut routes: Vec<String> = routes.map(|route| route.name.to_string()).collect();
    routes.sort_unstable();
    PolicyStatus {
        name: policy.name.clone(),
        component: policy.component.clone(),
        digest: policy.digest.clone(),
        stored_version: policy.stored_version,
        size_bytes: policy.size_bytes,
        title: policy.title.clone(),
        version: policy.version.clone(),
        description: policy.description.clone(),
        isolation: policy.isolation.clone(),
        hooks: policy.hooks.clone(),
        capabilities: policy.capabilities.clone(),
        routes,
    }
}
