//! `/api/v1/log`: which lines of the gateway's log are written, read and changed while it runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use portcullis_config::{DurationText, LogFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::access::Caller;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::control::role::Role;
use crate::telemetry::log::{self, Levels};
use crate::timestamp;

/// The longest time after which a filter may fall back.
const MAX_TIME: Duration = Duration::from_hours(24);
/// The shortest.
const MIN_TIME: Duration = Duration::from_secs(1);

/// Which lines are written.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct LogStatus {
    /// Levels of modules and of all others, such as `warn,policy=info,portcullis=info`.
    filter: String,
    /// Who says so: `control` (this API), `environment` (RUST_LOG) or `config`.
    source: &'static str,
    /// When it falls back, in RFC 3339, if it does.
    until: Option<String>,
    /// What it falls back to.
    configured: String,
}

/// Which lines are to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct LogChange {
    /// A level (off, error, warn, info, debug or trace) for all, and MODULE=LEVEL for modules, with commas between them.
    filter: String,
    /// A duration such as `10m`, 1s to 24h, after which the filter falls back; without it the filter stays.
    r#for: Option<String>,
}

/// Tells which lines are written.
#[utoipa::path(get, path = "/api/v1/log", responses(
    (status = 200, description = "The filter in force", body = LogStatus),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 409, description = "The log of this process is not the gateway's", body = Refusal),
))]
pub(in crate::control) async fn log(
    State(_): State<Arc<ControlState>>,
) -> Result<Json<LogStatus>, Refusal> {
    Ok(Json(status(levels()?)))
}

/// Has other lines written from now on, whatever RUST_LOG and the config say; not beyond the end of the process. Needs
/// the role operator. The log tells who has done it.
#[utoipa::path(put, path = "/api/v1/log", request_body = LogChange, responses(
    (status = 200, description = "The filter in force", body = LogStatus),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 403, description = "The token's role is too weak", body = Refusal),
    (status = 409, description = "The log of this process is not the gateway's", body = Refusal),
    (status = 422, description = "What is wrong with the filter or the time", body = Refusal),
))]
pub(in crate::control) async fn change(
    Extension(caller): Extension<Caller>,
    Json(change): Json<LogChange>,
) -> Result<Json<LogStatus>, Refusal> {
    caller.needs(Role::Operator)?;
    let wrong = |key: &str, error: String| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{key}: {error}"))
    };
    let filter: LogFilter = change
        .filter
        .parse()
        .map_err(|error| wrong("filter", error))?;
    let lasts = change.r#for.as_deref().map(time).transpose();
    let lasts = lasts.map_err(|error| wrong("for", error))?;
    let levels = levels()?;
    tell(&caller, levels, &filter.to_string(), lasts);
    let number = levels.change(filter, lasts, SystemTime::now());
    if let Some(lasts) = lasts {
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            if levels.fall_back(number) {
                let filter = levels.reading().filter.to_string();
                tracing::info!(filter, "the log's filter has fallen back");
            }
        });
    }
    Ok(Json(status(levels)))
}

/// Has the lines written again that RUST_LOG or the config ask for. Needs the role operator.
#[utoipa::path(delete, path = "/api/v1/log", responses(
    (status = 200, description = "The filter in force", body = LogStatus),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 403, description = "The token's role is too weak", body = Refusal),
    (status = 409, description = "The log of this process is not the gateway's", body = Refusal),
))]
pub(in crate::control) async fn reset(
    Extension(caller): Extension<Caller>,
) -> Result<Json<LogStatus>, Refusal> {
    caller.needs(Role::Operator)?;
    let levels = levels()?;
    tell(
        &caller,
        levels,
        &levels.reading().configured.to_string(),
        None,
    );
    levels.reset();
    Ok(Json(status(levels)))
}

fn levels() -> Result<&'static Levels, Refusal> {
    let unknown = "the log of this process is not the gateway's to change".to_owned();
    log::levels().ok_or_else(|| Refusal::new(StatusCode::CONFLICT, unknown))
}

fn time(text: &str) -> Result<Duration, String> {
    let time: DurationText = text
        .parse()
        .map_err(|_| format!("{text:?} is not a duration such as 30s or 10m"))?;
    let time = time.get();
    match (MIN_TIME..=MAX_TIME).contains(&time) {
        true => Ok(time),
        false => Err(format!("must be 1s to 24h, found {text}")),
    }
}

/// Before the change: what comes after may not be written any more.
fn tell(caller: &Caller, levels: &Levels, filter: &str, lasts: Option<Duration>) {
    let (actor, before) = (caller.actor(), levels.reading().filter.to_string());
    let (role, name, from) = (actor.role, actor.name, actor.from.unwrap_or_default());
    let lasts = lasts.map_or_else(String::new, |time| format!(" for {time:?}"));
    tracing::warn!(
        role,
        name,
        from,
        before,
        "the log's filter becomes {filter}{lasts}"
    );
}

fn status(levels: &Levels) -> LogStatus {
    let reading = levels.reading();
    LogStatus {
        filter: reading.filter.to_string(),
        source: reading.source,
        until: reading.until.map(timestamp::text),
        configured: reading.configured.to_string(),
    }
}
