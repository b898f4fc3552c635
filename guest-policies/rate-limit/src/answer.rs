//! The answers of the policy's own, as problem documents (RFC 9457) of the types that the draft registers.

use std::fmt::Write;

use portcullis_sdk::LocalResponse;

use crate::decision::Decision;
use crate::fields::{self, Told};
use crate::limits::Limits;

/// Seconds to wait when the store fails: such failures are short, or an operator's business.
const STORE_RETRY_AFTER: &str = "1";

/// A refusal by the limits: which, and when to come back.
pub fn quota_exceeded(
    limits: &Limits,
    decision: &Decision,
    status: u16,
    told: Told,
) -> LocalResponse {
    let mut body = String::with_capacity(256);
    // Writing to a string can't fail.
    write!(
        body,
        concat!(
            r#"{{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","#,
            r#""status":{},"violated-policies":["#,
        ),
        status
    )
    .unwrap_or_default();
    let mut separator = "";
    for (i, _) in decision.told() {
        // Names are plain by the config's rule: nothing to escape.
        let name = &limits.as_slice()[i].name;
        write!(body, "{separator}\"{name}\"").unwrap_or_default();
        separator = ",";
    }
    body.push_str("]}");
    let retry_after = fields::retry_after(decision).to_string();
    let mut response = problem(status, body).header("retry-after", retry_after);
    if told.draft {
        response = response
            .header(fields::RATE_LIMIT_POLICY, limits.policy_field())
            .header(fields::RATE_LIMIT, fields::rate_limit(limits, decision));
    }
    if let Some(values) = fields::legacy(limits, decision).filter(|_| told.legacy) {
        for (name, value) in fields::LEGACY.into_iter().zip(values) {
            response = response.header(name, value.to_string());
        }
    }
    response
}

/// The limits can't be checked.
pub fn store_failed() -> LocalResponse {
    let body = concat!(
        r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
        r#""title":"Request cannot be satisfied due to temporary server capacity constraints","#,
        r#""status":503}"#,
    );
    problem(503, body.to_owned()).header("retry-after", STORE_RETRY_AFTER)
}

/// The caller is on the list of those who are not served.
pub fn listed() -> LocalResponse {
    let body = r#"{"type":"about:blank","title":"Forbidden","status":403}"#;
    problem(403, body.to_owned())
}

fn problem(status: u16, body: String) -> LocalResponse {
    LocalResponse {
        status,
        headers: Vec::with_capacity(7),
        body: body.into_bytes(),
    }
    .header("content-type", "application/problem+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::tests::{decision, limits};

    fn headers(response: &LocalResponse) -> Vec<(&str, &str)> {
        let text = |value| std::str::from_utf8(value).unwrap();
        let headers = response.headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), text(value)))
            .collect()
    }

    fn refusal(draft: bool, legacy: bool) -> LocalResponse {
        let limits = limits(&["token", "day"]);
        let decided = decision(&limits, &[(false, 0, 600_001), (true, 7, 0)]);
        quota_exceeded(&limits, &decided, 429, Told { draft, legacy })
    }

    const ALWAYS: [(&str, &str); 2] = [
        ("content-type", "application/problem+json"),
        ("retry-after", "1"),
    ];
    const DRAFT: [(&str, &str); 2] = [
        (
            "ratelimit-policy",
            r#""token";q=100;w=60, "day";q=100;w=60"#,
        ),
        ("ratelimit", r#""token";r=0;t=1"#),
    ];
    const LEGACY: [(&str, &str); 3] = [
        ("x-ratelimit-limit", "20"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1"),
    ];

    #[test]
    fn a_refusal_says_which_limit_and_when_to_come_back() {
        let response = refusal(true, false);
        assert_eq!(response.status, 429);
        assert_eq!(headers(&response), [&ALWAYS[..], &DRAFT].concat());
        let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
        assert_eq!(problem["type"], kind);
        assert_eq!(problem["status"], 429);
        assert_eq!(problem["violated-policies"], serde_json::json!(["token"]));
    }

    #[test]
    fn the_fields_are_those_of_the_config() {
        assert_eq!(headers(&refusal(false, false)), ALWAYS);
        assert_eq!(
            headers(&refusal(false, true)),
            [&ALWAYS[..], &LEGACY].concat()
        );
        let both = [&ALWAYS[..], &DRAFT, &LEGACY].concat();
        assert_eq!(headers(&refusal(true, true)), both);
    }

    #[test]
    fn other_answers_are_problem_documents_too() {
        let failed = store_failed();
        assert_eq!((failed.status, headers(&failed)), (503, ALWAYS.to_vec()));
        let forbidden = listed();
        assert_eq!(
            (forbidden.status, headers(&forbidden)),
            (403, ALWAYS[..1].to_vec())
        );
        for response in [failed, forbidden] {
            let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(problem["status"], response.status);
        }
    }
}
