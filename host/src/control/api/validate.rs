//! `POST /api/v1/config/validate`: what the gateway would make of a config. Changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use portcullis_config::{ConfigErrors, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::access::Caller;
use crate::control::answer::{FoundProblem, Refusal};
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::server::{self, StartError};

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Validation {
    /// Whether it could serve.
    valid: bool,
    /// All of them, in the order of the text.
    problems: Vec<FoundProblem>,
}

/// Checks a config as `portcullis check` does, its policies and the files that it names included. Needs the
/// role operator. Relative names start from the directory of the config that serves. The access log is
/// not opened.
#[utoipa::path(post, path = "/api/v1/config/validate",
    request_body(content = String, description = "A config in YAML", content_type = "application/yaml"),
    responses(
        (status = 200, description = "What was found; also for a config with problems", body = Validation),
        (status = 401, description = "No token, or none that is known", body = Refusal),
        (status = 403, description = "The token's role is too weak", body = Refusal),
        (status = 413, description = "Larger than 2 MiB"),
    ))]
pub(in crate::control) async fn validate(
    State(state): State<Arc<ControlState>>,
    Extension(caller): Extension<Caller>,
    text: String,
) -> Result<Json<Validation>, Refusal> {
    caller.needs(Role::Operator)?;
    let problems = problems(&state, &text).await;
    Ok(Json(Validation {
        valid: problems.is_empty(),
        problems: problems.into_iter().map(FoundProblem::from).collect(),
    }))
}

async fn problems(state: &ControlState, text: &str) -> Vec<Problem> {
    let (origin, engines) = (state.base.join("config"), state.gateway.engines.clone());
    let mut config = match portcullis_config::parse(text, &origin) {
        Ok(config) => config,
        Err(errors) => return server::check_on(errors, engines).await.problems,
    };
    // To look whether its file can be written would make it.
    config.access_log = None;
    match server::check(&config, engines).await {
        Ok(_) => Vec::new(),
        Err(StartError::Config(problems)) => ConfigErrors::new(origin, problems).problems,
        Err(other) => vec![Problem {
            line: None,
            path: String::new(),
            message: other.to_string(),
        }],
    }
}
