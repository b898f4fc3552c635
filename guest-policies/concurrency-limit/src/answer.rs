//! The answers of the policy's own, as problem documents (RFC 9457).

use std::fmt::Write;

use portcullis_sdk::LocalResponse;

use crate::claim::Outcome;
use crate::limits::Limits;

/// Seconds after which trying again is worth it: when a place is free nobody knows.
const RETRY_AFTER: &str = "1";

/// A refusal by the limits: which. The fields are those of draft-ietf-httpapi-ratelimit-headers-11, with its
/// unit `concurrent-requests`.
pub fn refused(limits: &Limits, outcome: &Outcome, status: u16) -> LocalResponse {
    let (mut policy, mut standing, mut names) = (String::new(), String::new(), String::new());
    let refusing = limits.as_slice().iter().enumerate();
    for (_, limit) in refusing.filter(|(i, _)| outcome.refuses(*i)) {
        let (name, bound) = (&limit.name, limit.bound);
        let (comma, space) = if names.is_empty() {
            ("", "")
        } else {
            (",", " ")
        };
        // Names are plain by the config's rule: nothing to escape. Writing to a string can't fail.
        write!(names, "{comma}\"{name}\"").unwrap_or_default();
        write!(
            policy,
            "{comma}{space}\"{name}\";q={bound};qu=\"concurrent-requests\""
        )
        .unwrap_or_default();
        write!(standing, "{comma}{space}\"{name}\";r=0").unwrap_or_default();
    }
    let mut body = String::with_capacity(256);
    write!(
        body,
        concat!(
            r#"{{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","#,
            r#""status":{},"violated-policies":[{}]}}"#,
        ),
        status, names
    )
    .unwrap_or_default();
    problem(status, body)
        .header("retry-after", RETRY_AFTER)
        .header("ratelimit-policy", policy)
        .header("ratelimit", standing)
}

/// The limits can't be checked.
pub fn store_failed() -> LocalResponse {
    let body = concat!(
        r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
        r#""title":"Request cannot be satisfied due to temporary server capacity constraints","#,
        r#""status":503}"#,
    );
    problem(503, body.to_owned()).header("retry-after", RETRY_AFTER)
}

/// The caller is on the list of those who are not served.
pub fn listed() -> LocalResponse {
    let body = r#"{"type":"about:blank","title":"Forbidden","status":403}"#;
    problem(403, body.to_owned())
}

fn problem(status: u16, body: String) -> LocalResponse {
    LocalResponse {
        status,
        headers: Vec::with_capacity(4),
        body: body.into_bytes(),
    }
    .header("content-type", "application/problem+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Claim;
    use crate::limits::Limit;

    #[test]
    fn a_refusal_names_the_limits_that_refuse() {
        let limit = |name: &str, bound, is_shadow| Limit {
            name: name.to_owned(),
            key: Vec::new(),
            bound,
            is_shadow,
        };
        let limits = Limits::new(vec![
            limit("a", 1, false),
            limit("b", 2, false),
            limit("c", 3, true),
            limit("d", 4, false),
        ]);
        let claim = |limit: &Limit| Claim {
            key: String::new(),
            bound: limit.bound,
            is_shadow: limit.is_shadow,
        };
        let claims: Vec<_> = limits.as_slice().iter().map(claim).collect();
        let outcome = Outcome::collect(&claims, |i| i == 1);
        let response = refused(&limits, &outcome, 429);
        let text = |i: usize| std::str::from_utf8(&response.headers[i].1).unwrap();
        assert_eq!(
            text(2),
            r#""a";q=1;qu="concurrent-requests", "d";q=4;qu="concurrent-requests""#
        );
        assert_eq!(text(3), r#""a";r=0, "d";r=0"#);
        let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(problem["violated-policies"], serde_json::json!(["a", "d"]));
        for response in [response, store_failed(), listed()] {
            let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(problem["status"], response.status);
        }
    }
}
