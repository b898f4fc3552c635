//! `POST /api/v1/config/validate`: what the gateway would make of a config. Changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use portcullis_config::{ConfigErrors, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::access::need;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::server::{self, StartError};

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Validation {
    /// Whether it could serve.
    valid: bool,
    /// All of them, in the order of the text.
    problems: Vec<Found>,
}

/// One thing to correct.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    /// In the text, from 1; none for the whole of it.
    line: Option<usize>,
    /// Where in the config, such as `routes[0].upstream`; empty for the whole of it.
    path: String,
    /// What is wrong and how to put it right.
    message: String,
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
    Extension(role): Extension<Role>,
    text: String,
) -> Result<Json<Validation>, Refusal> {
    need(role, Role::Operator)?;
    let problems = problems(&state, &text).await;
    Ok(Json(Validation {
        valid: problems.is_empty(),
        problems: problems.into_iter().map(found).collect(),
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

fn found(problem: Problem) -> Found {
    Found {
        line: problem.line,
        path: problem.path,
        message: problem.message,
    }
}
