//! `GET /api/v1/faults`: the faults of policies that happened last, with their backtraces.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::policy::recent_faults::RecentFault;
use crate::timestamp;

/// Faults of policies.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Faults {
    /// The last 100 since the gateway started, the newest first.
    faults: Vec<FaultReport>,
}

/// A hook that did not end well.
#[derive(Debug, Serialize, ToSchema)]
struct FaultReport {
    /// When it ended, in RFC 3339.
    time: String,
    /// The policy's name in the config.
    policy: String,
    route: String,
    /// The hook.
    phase: &'static str,
    /// `trap`, `deadline`, `memory`, `limit`, `error`, `host` or `overloaded`.
    kind: &'static str,
    /// What happened, in one line.
    message: String,
    /// The guest's functions, the innermost first, if it was in one.
    backtrace: Option<String>,
    /// The request's id.
    request: String,
    /// `open` or `closed`.
    on_failure: &'static str,
}

/// Lists the faults of policies that happened last.
#[utoipa::path(get, path = "/api/v1/faults", responses(
    (status = 200, description = "The faults", body = Faults),
    (status = 401, description = "No token, or none that is known", body = Refusal),
))]
pub(in crate::control) async fn faults(State(state): State<Arc<ControlState>>) -> Json<Faults> {
    let recent = state.gateway.publisher.shared().recent_faults.list();
    Json(Faults {
        faults: recent.into_iter().map(of).collect(),
    })
}

fn of(fault: RecentFault) -> FaultReport {
    FaultReport {
        time: timestamp::text(fault.time),
        policy: fault.policy,
        route: fault.route,
        phase: fault.phase,
        kind: fault.kind,
        message: fault.message,
        backtrace: fault.backtrace,
        request: fault.request,
        on_failure: fault.on_failure,
    }
}
