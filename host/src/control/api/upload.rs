//! `POST /api/v1/store/{policy}/versions`: a component becomes a version.

use std::sync::Arc;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use axum::{Extension, Json};
use bytes::Bytes;
use portcullis_config::is_name;
use utoipa::ToSchema;

use super::store::store_of;
use super::store_changes::{self, Change, checked_reason, undisturbed};
use crate::control::access::Caller;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::policy::component_bytes::MAX_COMPONENT_BYTES;
use crate::publisher::{Because, Upload};

/// What the form has besides the component.
const FORM_BYTES: usize = 64 << 10;

/// The form of an upload.
#[derive(Default, ToSchema)]
pub(in crate::control) struct UploadForm {
    /// The file, at most 64 MiB.
    #[schema(value_type = String, format = Binary)]
    component: Bytes,
    /// Why, in at most 500 characters; may be left out.
    reason: Option<String>,
    /// `false` to store it only; it serves at once if this is left out.
    activate: Option<bool>,
}

/// The call with its limit, which is larger than that of others.
pub(in crate::control) fn route() -> MethodRouter<Arc<ControlState>> {
    let limit = usize::try_from(MAX_COMPONENT_BYTES).unwrap_or(usize::MAX) + FORM_BYTES;
    post(push)
        .layer(DefaultBodyLimit::max(limit))
        .delete(store_changes::delete_unused)
}

/// Stores a component as the next version of a policy and, unless the form says otherwise, serves it from the
/// next request on. It is compiled, checked against the grants and configs of all its uses, and tried first: one
/// that is refused changes nothing. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/store/{policy}/versions",
    params(("policy" = String, Path, description = "Its name in the store")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "It is stored, or is the active version already", body = Change),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 409, description = "The gateway has no policy store", body = Refusal),
        (status = 413, description = "The component is too large", body = Refusal),
        (status = 422, description = "What is wrong with the component, the form, or the uses' configs", body = Refusal),
        (status = 503, description = "Two other components are being received, or the store is being changed", body = Refusal),
    ))]
pub(in crate::control) async fn push(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    Path(policy): Path<String>,
    form: Multipart,
) -> Result<Json<Change>, Refusal> {
    caller.needs(Role::Admin)?;
    store_of(&state)?;
    if !is_name(&policy) {
        return Err(unprocessable(format!(
            "{policy:?} is no name for a policy: at most 63 lower-case letters, digits, \".\", \"_\" and \"-\""
        )));
    }
    let Ok(_receiving) = state.uploads.try_acquire() else {
        let detail = "two other components are being received; try again".to_owned();
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let form = read(form).await?;
    let reason = form.reason.unwrap_or_default();
    checked_reason(&reason)?;
    let publisher = state.gateway.publisher.clone();
    let name = policy.clone();
    let pushed = undisturbed(async move {
        let upload = Upload {
            policy: &name,
            component: &form.component,
            activate: form.activate.unwrap_or(true),
        };
        let (by, reason) = (caller.actor(), reason.as_str());
        publisher.push(upload, Because { by, reason }).await
    });
    store_changes::answer(&state, &policy, pushed.await?)
}

async fn read(mut multipart: Multipart) -> Result<UploadForm, Refusal> {
    let mut form = UploadForm::default();
    let mut has_component = false;
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default().to_owned().as_str() {
            "component" => {
                form.component = field.bytes().await.map_err(broken)?;
                has_component = true;
            }
            "reason" => form.reason = Some(text(field).await?),
            "activate" => form.activate = Some(yes_or_no(&text(field).await?)?),
            other => {
                return Err(unprocessable(format!(
                    "unknown field {other:?} of the form; known: component, reason, activate"
                )));
            }
        }
    }
    if has_component {
        Ok(form)
    } else {
        let missing = "the form has no field \"component\" with the file";
        Err(unprocessable(missing.to_owned()))
    }
}

async fn text(field: Field<'_>) -> Result<String, Refusal> {
    field.text().await.map_err(broken)
}

fn yes_or_no(text: &str) -> Result<bool, Refusal> {
    text.parse()
        .map_err(|_| unprocessable("activate: expected true or false".to_owned()))
}

fn broken(error: MultipartError) -> Refusal {
    Refusal::new(error.status(), format!("the form: {}", error.body_text()))
}

fn unprocessable(detail: String) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}
