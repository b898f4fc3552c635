//! The paths under `/_mock`: they tell and clear what the service recorded, and are not recorded.

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::answer::{Answer, error_answer, json_answer, milliseconds};
use crate::connection::Upstream;
use crate::query::query_value;
use crate::record::{Outcome, RecordedRequest, Recorder};

/// One request as `/_mock/attempts` shows it.
#[derive(Serialize)]
struct AttemptView<'a> {
    number: u64,
    method: &'a str,
    path: &'a str,
    /// Null without an answer; `outcome` says why.
    status: Option<u16>,
    outcome: &'static str,
    at_ms: f64,
    since_previous_ms: Option<f64>,
}

/// The answer to a control path; `None` for all other paths.
pub(crate) fn answer(upstream: &Upstream, head: &Parts) -> Option<Answer> {
    let name = head.uri.path().strip_prefix("/_mock")?;
    let query = head.uri.query().unwrap_or_default();
    let answer = match name {
        "/attempts" if head.method == Method::GET => attempts(&upstream.recorder, query),
        "/attempts" => wrong_method("GET"),
        "/reset" if head.method == Method::POST => {
            upstream.reset();
            json_answer(StatusCode::OK, &serde_json::json!({ "status": "reset" }))
        }
        "/reset" => wrong_method("POST"),
        name if name.is_empty() || name.starts_with('/') => error_answer(
            StatusCode::NOT_FOUND,
            "expected GET /_mock/attempts or POST /_mock/reset",
        ),
        _ => return None,
    };
    Some(answer)
}

fn attempts(recorder: &Recorder, query: &str) -> Answer {
    let path = query_value(query, "path");
    let requests = recorder.requests();
    let asked_for =
        |request: &&RecordedRequest| path.as_ref().is_none_or(|path| request.path == **path);
    let views: Vec<AttemptView<'_>> = requests
        .iter()
        .filter(asked_for)
        .map(|request| view(recorder, request))
        .collect();
    json_answer(StatusCode::OK, &views)
}

fn view<'a>(recorder: &Recorder, request: &'a RecordedRequest) -> AttemptView<'a> {
    let (status, outcome) = match request.outcome {
        Outcome::Pending => (None, "pending"),
        Outcome::Answered(status) => (Some(status), "answered"),
        Outcome::Closed => (None, "closed"),
        Outcome::Abandoned => (None, "abandoned"),
    };
    AttemptView {
        number: request.number,
        method: request.method.as_str(),
        path: &request.path,
        status,
        outcome,
        at_ms: milliseconds(recorder.since_start(request.at)),
        since_previous_ms: request.since_previous.map(milliseconds),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = error_answer(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("expected {allowed}"),
    );
    let allow = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}
