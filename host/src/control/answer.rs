//! Answers of the control API that are no: a problem in JSON (RFC 9457).

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use portcullis_config::Problem;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Refusal {
    /// The status code once more.
    pub(super) status: u16,
    /// The status in words.
    pub(super) title: &'static str,
    /// What is wrong, and how to put it right.
    pub(super) detail: String,
    /// Each thing to correct, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<FoundProblem>,
}

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FoundProblem {
    /// In the text of the config, from 1; none for the whole of it.
    line: Option<usize>,
    /// Where in the config, such as `routes[0].upstream`, or `component`; empty for the whole of it.
    path: String,
    /// What is wrong and how to put it right.
    message: String,
}

impl From<Problem> for FoundProblem {
    fn from(problem: Problem) -> Self {
        Self {
            line: problem.line,
            path: problem.path,
            message: problem.message,
        }
    }
}

impl Refusal {
    /// With that status.
    pub(super) fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default(),
            detail,
            problems: Vec::new(),
        }
    }

    /// What was sent can't be taken, for these reasons.
    pub(super) fn problems(detail: String, problems: Vec<Problem>) -> Self {
        Self {
            problems: problems.into_iter().map(FoundProblem::from).collect(),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    /// There is no token, or none that is known.
    pub(super) fn unauthorised(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail.to_owned())
    }

    /// The caller may not do this.
    pub(super) fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, problem);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
