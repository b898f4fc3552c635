//! What callers are told: the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11 and the
//! problem documents (RFC 9457) of a refusal.

use std::fmt::Write;

use crate::decision::Decision;

/// The field that states the limits.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// The field that states where the caller stands.
pub const RATE_LIMIT: &str = "ratelimit";
/// The media type of a refusal's body.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds to wait when the store fails: such failures are short, or an operator's business.
pub const STORE_RETRY_AFTER: &str = "1";

/// One limit's item of the `RateLimit-Policy` field: `requests` in `per_seconds`.
pub fn policy_item(name: &str, requests: u32, per_seconds: u64) -> String {
    format!("\"{name}\";q={requests};w={per_seconds}")
}

/// The `RateLimit` field: what remains and in how many seconds that changes.
///
/// Of a refusal it names only the limits that refuse, so that no `t` is later than `Retry-After`.
pub fn rate_limit<'a>(names: impl Iterator<Item = &'a str>, decision: &Decision) -> String {
    let mut field = String::with_capacity(64);
    let allowed = decision.allowed();
    for (name, standing) in names
        .zip(decision.standings())
        .filter(|(_, standing)| standing.allowed == allowed)
    {
        let separator = if field.is_empty() { "" } else { ", " };
        let seconds = whole_seconds(standing.wait_us);
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

/// `Retry-After` of a refusal: whole seconds, rounded up, at least 1, after which every limit allows
/// the request if no other comes before.
pub fn retry_after(decision: &Decision) -> u64 {
    let refusing = decision
        .standings()
        .iter()
        .filter(|standing| !standing.allowed);
    refusing
        .map(|standing| whole_seconds(standing.wait_us))
        .max()
        .unwrap_or(0)
        .max(1)
}

/// The body of a 429: which limits refuse.
pub fn quota_exceeded<'a>(names: impl Iterator<Item = &'a str>, decision: &Decision) -> String {
    let mut body = String::with_capacity(256);
    body.push_str(concat!(
        r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
        r#""title":"Request cannot be satisfied as assigned quota has been exceeded","#,
        r#""status":429,"violated-policies":["#,
    ));
    let mut separator = "";
    for (name, _) in names
        .zip(decision.standings())
        .filter(|(_, standing)| !standing.allowed)
    {
        // Names are plain by the config's rule: nothing to escape.
        write!(body, "{separator}\"{name}\"").unwrap_or_default();
        separator = ",";
    }
    body.push_str("]}");
    body
}

/// The body of a 503: the limits can't be checked.
pub fn store_failed() -> &'static str {
    concat!(
        r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
        r#""title":"Request cannot be satisfied due to temporary server capacity constraints","#,
        r#""status":503}"#,
    )
}

fn whole_seconds(us: u64) -> u64 {
    us.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gcra::Standing;

    const NAMES: [&str; 3] = ["token", "address", "day"];

    fn decision(standings: &[(bool, u32, u64)]) -> Decision {
        Decision::collect(standings.len(), |i| {
            let (allowed, remaining, wait_us) = standings[i];
            Standing {
                allowed,
                remaining,
                wait_us,
            }
        })
    }

    #[test]
    fn allowed_requests_are_told_all_limits() {
        let decided = decision(&[(true, 19, 600_000), (true, 4, 3_000_001), (true, 7, 0)]);
        let field = rate_limit(NAMES.into_iter(), &decided);
        assert_eq!(
            field,
            r#""token";r=19;t=1, "address";r=4;t=4, "day";r=7;t=0"#
        );
    }

    #[test]
    fn refused_requests_are_told_the_limits_that_refuse() {
        let decided = decision(&[(false, 0, 1), (true, 4, 90_000_000), (false, 0, 2_000_001)]);
        assert_eq!(
            rate_limit(NAMES.into_iter(), &decided),
            r#""token";r=0;t=1, "day";r=0;t=3"#
        );
        assert_eq!(retry_after(&decided), 3);
        let body = quota_exceeded(NAMES.into_iter(), &decided);
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            problem["type"],
            "https://iana.org/assignments/http-problem-types#quota-exceeded"
        );
        assert_eq!(problem["status"], 429);
        assert_eq!(
            problem["violated-policies"],
            serde_json::json!(["token", "day"])
        );
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (wait_us, seconds) in [
            (0, 1),
            (1, 1),
            (1_000_000, 1),
            (1_000_001, 2),
            (59_999_999, 60),
        ] {
            assert_eq!(
                retry_after(&decision(&[(false, 0, wait_us)])),
                seconds,
                "{wait_us}"
            );
        }
    }

    #[test]
    fn policies_and_store_failures_are_well_formed() {
        assert_eq!(policy_item("token", 100, 60), r#""token";q=100;w=60"#);
        let problem: serde_json::Value = serde_json::from_str(store_failed()).unwrap();
        assert_eq!(problem["status"], 503);
    }
}
