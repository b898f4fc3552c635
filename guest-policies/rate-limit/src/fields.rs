//! What response fields tell callers: the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11, or
//! the older `X-RateLimit` fields.

use std::fmt::Write;

use crate::decision::Decision;
use crate::limits::Limits;

/// The field that states the limits.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// The field that states where the caller stands.
pub const RATE_LIMIT: &str = "ratelimit";
/// The older fields, as redis-cell and others have them: the burst, what is left of it, and the seconds until
/// it is whole (allowed) or the request may pass (refused).
pub const LEGACY: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// Which fields callers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// `RateLimit` and `RateLimit-Policy`.
    pub draft: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub legacy: bool,
}

/// One limit's item of the `RateLimit-Policy` field: `requests` in `per_seconds`.
pub fn policy_item(name: &str, requests: u32, per_seconds: u64) -> String {
    format!("\"{name}\";q={requests};w={per_seconds}")
}

/// The `RateLimit` field: what remains and in how many seconds that changes.
///
/// Of a refusal it names only the limits that refuse, so that no `t` is later than `Retry-After`.
pub fn rate_limit(limits: &Limits, decision: &Decision) -> String {
    let mut field = String::with_capacity(64);
    for (i, standing) in decision.told() {
        let separator = if field.is_empty() { "" } else { ", " };
        let (name, seconds) = (&limits.as_slice()[i].name, whole_seconds(standing.wait_us));
        // Writing to a string can't fail.
        write!(
            field,
            "{separator}\"{name}\";r={};t={seconds}",
            standing.remaining
        )
        .unwrap_or_default();
    }
    field
}

/// The values of [`LEGACY`]: those of the limit that is nearest to its end, or refuses for longest. `None`
/// when callers are told of none.
pub fn legacy(limits: &Limits, decision: &Decision) -> Option<[u64; 3]> {
    let (i, standing) = decision
        .told()
        .min_by_key(|(_, standing)| (standing.remaining, u64::MAX - standing.wait_us))?;
    let burst = limits.as_slice()[i].burst;
    Some([
        u64::from(burst),
        u64::from(standing.remaining.min(burst)),
        whole_seconds(standing.wait_us),
    ])
}

/// `Retry-After` of a refusal: whole seconds, rounded up, at least 1, after which every limit allows
/// the request if no other comes before.
pub fn retry_after(decision: &Decision) -> u64 {
    decision
        .told()
        .map(|(_, standing)| whole_seconds(standing.wait_us))
        .max()
        .unwrap_or(0)
        .max(1)
}

fn whole_seconds(us: u64) -> u64 {
    us.div_ceil(1_000_000)
}

#[cfg(test)]
pub(crate) mod tests;
