//! The answer that a kept response gives.

use portcullis_sdk::LocalResponse;

use crate::cache_status;
use crate::fields::Fields;
use crate::record::Entry;
use crate::validation;

/// Whether the client has it already and gets 304 (RFC 9111 §4.3.2): then its body is not needed.
pub fn is_unchanged(entry: &Entry, request: &Fields) -> bool {
    entry.status == 200 && validation::is_unchanged(request, &entry.fields)
}

/// The answer to `request` now; `status` is the member of `Cache-Status` for it.
pub fn answer(
    entry: &Entry,
    body: Vec<u8>,
    request: &Fields,
    now_ms: u64,
    status: String,
) -> LocalResponse {
    let mut response = if is_unchanged(entry, request) {
        LocalResponse {
            headers: validation::of_a_304(&entry.fields),
            ..LocalResponse::empty(304)
        }
    } else {
        LocalResponse {
            status: entry.status,
            headers: entry.fields.clone(),
            body,
        }
    };
    // RFC 9111 §5.1: a response from a cache says how old it is.
    let age_s = entry.freshness.age_s(now_ms).to_string();
    response = response.header("age", age_s);
    response.header(cache_status::FIELD, status)
}

/// RFC 9111 §5.2.1.7.
pub fn only_if_cached() -> LocalResponse {
    LocalResponse::problem(504, "No stored response can be used")
        .header("cache-control", "no-store")
        .header(cache_status::FIELD, cache_status::refused())
}

/// The upstream says that the kept response holds, and its body is gone.
pub fn lost() -> LocalResponse {
    LocalResponse::problem(503, "The stored response is gone; try again")
        .header("cache-control", "no-store")
        .header("retry-after", "0")
}
