//! `/api/v1/store`: the policies' versions, who pushed them, and what they are.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use portcullis_config::ComponentSource;
use serde::Serialize;
use utoipa::ToSchema;

use super::store_changes::refuse;
use crate::control::access::Caller;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::policy_store::entry::Actor;
use crate::policy_store::history::History;
use crate::policy_store::store::PolicyStore;
use crate::publisher::ChangeError;
use crate::wasm::component::PolicyComponent;

/// The policies of the store.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct StoredPolicies {
    /// By name.
    policies: Vec<StoredPolicy>,
}

/// A policy of the store.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct StoredPolicy {
    /// Its name in the store.
    name: String,
    /// The version that `store:NAME` means in the config.
    active: Option<u64>,
    /// The version that a roll back would activate.
    before: Option<u64>,
    /// Policies of the serving config whose component it is.
    used_by: Vec<String>,
    /// The newest first.
    versions: Vec<StoredVersion>,
}

/// A version of a policy.
#[derive(Debug, Serialize, ToSchema)]
struct StoredVersion {
    /// From 1 for the first that was pushed; never given twice.
    version: u64,
    /// SHA-256 of the component, in hexadecimal.
    digest: String,
    /// Of the component.
    size_bytes: u64,
    /// When it was pushed, in RFC 3339.
    time: String,
    /// Who pushed it.
    by: Actor,
    /// Why.
    reason: String,
}

/// What a stored component is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Inspection {
    /// SHA-256 of the component, in hexadecimal.
    digest: String,
    /// Of the component.
    size_bytes: usize,
    /// What it calls itself.
    title: String,
    /// Its own version.
    version: String,
    /// Its own words.
    description: String,
    /// The hooks that it exports.
    hooks: Vec<&'static str>,
    /// Capabilities that it imports: each needs a grant or a stub, unless it is optional.
    capabilities: Vec<&'static str>,
    /// Those of them that it works without.
    optional: Vec<String>,
    /// Interfaces that it imports, as written.
    imports: Vec<String>,
    /// JSON Schema of its config, if it has one.
    #[schema(value_type = Option<Object>)]
    config_schema: Option<serde_json::Value>,
}

/// Lists the policies of the store with their versions.
#[utoipa::path(get, path = "/api/v1/store", responses(
    (status = 200, description = "The policies that were pushed", body = StoredPolicies),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 409, description = "The gateway has no policy store", body = Refusal),
))]
pub(in crate::control) async fn policies(
    State(state): State<Arc<ControlState>>,
) -> Result<Json<StoredPolicies>, Refusal> {
    let histories = store_of(&state)?.histories();
    let policies = histories
        .iter()
        .map(|(name, history)| of(&state, name, history));
    Ok(Json(StoredPolicies {
        policies: policies.collect(),
    }))
}

/// Shows the versions of one policy.
#[utoipa::path(get, path = "/api/v1/store/{policy}",
    params(("policy" = String, Path, description = "Its name in the store")),
    responses(
        (status = 200, description = "Its versions", body = StoredPolicy),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 404, description = "Nothing of that name was pushed", body = Refusal),
        (status = 409, description = "The gateway has no policy store", body = Refusal),
    ))]
pub(in crate::control) async fn policy(
    State(state): State<Arc<ControlState>>,
    Path(policy): Path<String>,
) -> Result<Json<StoredPolicy>, Refusal> {
    let histories = store_of(&state)?.histories();
    let history = histories.get(&policy);
    let history = history.ok_or_else(|| refuse(ChangeError::UnknownPolicy(policy.clone())))?;
    Ok(Json(of(&state, &policy, history)))
}

/// Shows what a stored component exports, imports and says of itself. Needs the role operator.
#[utoipa::path(get, path = "/api/v1/store/{policy}/versions/{version}",
    params(("policy" = String, Path, description = "Its name in the store"), ("version" = u64, Path, description = "The version")),
    responses(
        (status = 200, description = "What it is", body = Inspection),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 404, description = "There is no such version", body = Refusal),
        (status = 409, description = "The gateway has no policy store", body = Refusal),
    ))]
pub(in crate::control) async fn version(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path((policy, version)): Path<(String, u64)>,
) -> Result<Json<Inspection>, Refusal> {
    caller.needs(Role::Operator)?;
    let component = state.gateway.publisher.component(&policy, version).await;
    component
        .map(|component| Json(inspection(&component)))
        .map_err(refuse)
}

/// The store, if the gateway has one.
pub(super) fn store_of(state: &ControlState) -> Result<&PolicyStore, Refusal> {
    let store = state.gateway.publisher.store();
    store.ok_or_else(|| refuse(ChangeError::NoStore))
}

fn of(state: &ControlState, name: &str, history: &History) -> StoredPolicy {
    let versions = history.versions().iter().rev();
    let versions = versions.map(|(number, version)| StoredVersion {
        version: *number,
        digest: version.digest.clone(),
        size_bytes: version.size_bytes,
        time: version.time.clone(),
        by: version.by.clone(),
        reason: version.reason.clone(),
    });
    StoredPolicy {
        name: name.to_owned(),
        active: history.active(),
        before: history.before(),
        used_by: used_by(state, name),
        versions: versions.collect(),
    }
}

/// Policies of the serving config whose component is that policy of the store.
pub(super) fn used_by(state: &ControlState, name: &str) -> Vec<String> {
    let source = ComponentSource::Store(name.to_owned()).to_string();
    let snapshot = state.gateway.publisher.shared().snapshot.load();
    let users = snapshot.policies.iter();
    let users = users.filter(|policy| policy.component == source);
    users.map(|policy| policy.name.clone()).collect()
}

fn inspection(component: &PolicyComponent) -> Inspection {
    let manifest = component.manifest();
    let hooks = component.hooks.iter().map(|phase| phase.name());
    let optional = manifest.optional_imports().map(str::to_owned);
    Inspection {
        digest: component.digest.clone(),
        size_bytes: component.size_bytes,
        title: manifest.name.clone(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        hooks: hooks.collect(),
        capabilities: component.capabilities(),
        optional: optional.collect(),
        imports: component.imports().cloned().collect(),
        config_schema: manifest.config_schema.clone(),
    }
}
