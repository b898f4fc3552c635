//! `/api/v1/store`: which version of a policy serves, and which ones are kept.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::used_by;
use crate::control::access::Caller;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::policy_store::entry::Actor;
use crate::policy_store::store::StoreError;
use crate::publisher::{Because, ChangeError, Published};

/// Longer reasons are no reasons.
const MAX_REASON: usize = 500;

/// What a change has come to.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Change {
    /// The version that was pushed, or serves now.
    version: u64,
    /// SHA-256 of its component, in hexadecimal.
    digest: String,
    /// Whether it is the active one.
    active: bool,
    /// Whether anything has changed: it was not the active one already.
    changed: bool,
    /// Policies of the serving config whose component it is.
    used_by: Vec<String>,
    /// The gateway's revision.
    revision: u64,
}

/// Which version is to serve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Activation {
    /// Its number.
    version: u64,
    /// Why, in at most 500 characters.
    #[serde(default)]
    reason: String,
}

/// Why something is changed.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Reason {
    /// In at most 500 characters.
    #[serde(default)]
    reason: String,
}

/// How many versions were deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Deleted {
    /// Of the policy.
    deleted: usize,
}

/// Serves a stored version from the next request on. It is tried on the serving config first. Needs the role
/// operator.
#[utoipa::path(post, path = "/api/v1/store/{policy}/activate", request_body = Activation,
    params(("policy" = String, Path, description = "Its name in the store")),
    responses(
        (status = 200, description = "It serves, or did already", body = Change),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 404, description = "There is no such version", body = Refusal),
        (status = 409, description = "The gateway has no policy store", body = Refusal),
        (status = 422, description = "What is wrong with it for the serving config", body = Refusal),
    ))]
pub(in crate::control) async fn activate(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path(policy): Path<String>,
    Json(activation): Json<Activation>,
) -> Result<Json<Change>, Refusal> {
    caller.needs(Role::Operator)?;
    let because = because(&caller, activation.reason)?;
    let (publisher, name) = (state.gateway.publisher.clone(), policy.clone());
    let activated = undisturbed(async move {
        let version = activation.version;
        publisher.activate(&name, version, because.borrowed()).await
    });
    answer(&state, &policy, activated.await?)
}

/// Serves the version that served before the active one, and is still there. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/store/{policy}/rollback", request_body = Reason,
    params(("policy" = String, Path, description = "Its name in the store")),
    responses(
        (status = 200, description = "It serves", body = Change),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 404, description = "Nothing of that name was pushed", body = Refusal),
        (status = 409, description = "None served before, or the gateway has no policy store", body = Refusal),
        (status = 422, description = "What is wrong with it for the serving config", body = Refusal),
    ))]
pub(in crate::control) async fn roll_back(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path(policy): Path<String>,
    Json(reason): Json<Reason>,
) -> Result<Json<Change>, Refusal> {
    caller.needs(Role::Operator)?;
    let because = because(&caller, reason.reason)?;
    let (publisher, name) = (state.gateway.publisher.clone(), policy.clone());
    let rolled_back =
        undisturbed(async move { publisher.roll_back(&name, because.borrowed()).await });
    answer(&state, &policy, rolled_back.await?)
}

/// Deletes a version that does not serve. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/store/{policy}/versions/{version}",
    params(("policy" = String, Path, description = "Its name in the store"), ("version" = u64, Path, description = "The version"), Reason),
    responses(
        (status = 200, description = "It is gone", body = Deleted),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 404, description = "There is no such version", body = Refusal),
        (status = 409, description = "It serves, or the gateway has no policy store", body = Refusal),
    ))]
pub(in crate::control) async fn delete(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path((policy, version)): Path<(String, u64)>,
    Query(reason): Query<Reason>,
) -> Result<Json<Deleted>, Refusal> {
    caller.needs(Role::Admin)?;
    let because = because(&caller, reason.reason)?;
    let publisher = state.gateway.publisher.clone();
    let deleted =
        undisturbed(async move { publisher.delete(&policy, version, because.borrowed()).await });
    deleted
        .await?
        .map(|()| Json(Deleted { deleted: 1 }))
        .map_err(refuse)
}

/// Deletes the versions that neither serve nor would after a roll back. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/store/{policy}/versions",
    params(("policy" = String, Path, description = "Its name in the store"), Reason),
    responses(
        (status = 200, description = "They are gone", body = Deleted),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 404, description = "Nothing of that name was pushed", body = Refusal),
        (status = 409, description = "The gateway has no policy store", body = Refusal),
    ))]
pub(in crate::control) async fn delete_unused(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path(policy): Path<String>,
    Query(reason): Query<Reason>,
) -> Result<Json<Deleted>, Refusal> {
    caller.needs(Role::Admin)?;
    let because = because(&caller, reason.reason)?;
    let publisher = state.gateway.publisher.clone();
    let deleted =
        undisturbed(async move { publisher.delete_unused(&policy, because.borrowed()).await });
    deleted
        .await?
        .map(|deleted| Json(Deleted { deleted }))
        .map_err(refuse)
}

/// What is answered to a change.
pub(super) fn answer(
    state: &ControlState,
    policy: &str,
    published: Result<Published, ChangeError>,
) -> Result<Json<Change>, Refusal> {
    let published = published.map_err(refuse)?;
    Ok(Json(Change {
        version: published.version,
        digest: published.digest,
        active: published.active,
        changed: published.changed,
        used_by: used_by(state, policy),
        revision: published.revision,
    }))
}

/// Refuses a reason that is too long.
pub(super) fn checked_reason(reason: &str) -> Result<(), Refusal> {
    if reason.chars().count() <= MAX_REASON {
        return Ok(());
    }
    let detail = format!("reason: at most {MAX_REASON} characters");
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
}

/// Goes on to its end also where the caller hangs up: a change that is written down and not served would
/// be half a change.
pub(super) async fn undisturbed<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(change).await.map_err(|error| {
        let detail = format!(
            "the change did not end: {error}; `portcullis journal` tells what was made of it"
        );
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

/// Who asks for a change, and why.
struct Asked {
    by: Actor,
    reason: String,
}

impl Asked {
    fn borrowed(&self) -> Because<'_> {
        Because {
            by: self.by.clone(),
            reason: &self.reason,
        }
    }
}

fn because(caller: &Caller, reason: String) -> Result<Asked, Refusal> {
    checked_reason(&reason)?;
    let by = caller.actor();
    Ok(Asked { by, reason })
}

/// What is answered to who wanted a change that was not made.
pub(super) fn refuse(error: ChangeError) -> Refusal {
    let detail = error.to_string();
    let status = match error {
        ChangeError::Problems(problems) => return Refusal::problems(detail, problems),
        ChangeError::NoStore | ChangeError::NothingBefore(_) | ChangeError::Active { .. } => {
            StatusCode::CONFLICT
        }
        ChangeError::UnknownPolicy(_) | ChangeError::UnknownVersion { .. } => StatusCode::NOT_FOUND,
        ChangeError::Store(StoreError::Busy { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        ChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, detail)
}
