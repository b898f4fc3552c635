//! `GET /api/v1/journal`: every change of the policy store, with its place in the chain.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::store_of;
use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::policy_store::entry::Entry;

/// Entries of one answer.
const MAX_ENTRIES: usize = 1_000;

/// Which entries are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::control) struct From {
    /// Only later ones than the entry of that number.
    #[serde(default)]
    after: u64,
}

/// Changes of the policy store.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Journal {
    /// The number of the last change of all. The chain up to it was checked for this answer.
    last: u64,
    /// In the order in which they were made; at most 1,000, further ones are asked for with `after`.
    entries: Vec<JournalEntry>,
}

/// A change of the policy store.
#[derive(Debug, Serialize, ToSchema)]
struct JournalEntry {
    #[serde(flatten)]
    entry: Entry,
    /// SHA-256 of its line in the journal up to this field, in hexadecimal.
    hash: String,
}

/// Lists the changes of the policy store: who, when, what and why. Each holds the hash of the one before;
/// an answer means that the whole chain was read and holds.
#[utoipa::path(get, path = "/api/v1/journal", params(From), responses(
    (status = 200, description = "The changes", body = Journal),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 409, description = "The gateway has no policy store", body = Refusal),
    (status = 500, description = "The chain does not hold: the line is named", body = Refusal),
))]
pub(in crate::control) async fn journal(
    State(state): State<Arc<ControlState>>,
    Query(from): Query<From>,
) -> Result<Json<Journal>, Refusal> {
    let entries = store_of(&state)?.entries();
    let entries = entries
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let last = entries.last().map_or(0, |entry| entry.number);
    let later = entries
        .into_iter()
        .filter(|entry| entry.number > from.after);
    Ok(Json(Journal {
        last,
        entries: later.take(MAX_ENTRIES).map(hashed).collect(),
    }))
}

fn hashed(entry: Entry) -> JournalEntry {
    let hash = entry.hash.clone();
    JournalEntry { entry, hash }
}
