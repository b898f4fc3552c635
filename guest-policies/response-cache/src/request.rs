//! What the cache has to do with a request.

use crate::cache_control::Directives;
use crate::cache_status::Forward;
use crate::fields::{self, Fields};

/// A request with more bytes of fields passes: the state of an exchange has to hold them.
pub const MAX_FIELD_BYTES: usize = 24 << 10;

/// Which requests the operator keeps from the cache.
#[derive(Clone, Debug, Default)]
pub struct RequestRules {
    /// Requests with `Cookie` are answered from it like others.
    pub with_cookies: bool,
    /// What the request's directives say is passed over.
    pub ignore_directives: bool,
    /// Requests with this field pass.
    pub bypass_header: Option<String>,
    /// Fields that say who asks, beside `authorization`.
    pub credentials: Vec<String>,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Look it up; GET or HEAD.
    LookUp,
    /// It changes what is kept (RFC 9111 §4.4).
    Invalidate,
    /// Nothing, for this reason.
    Pass(Forward),
}

/// Fields whose conditions are for the origin server to evaluate, or that ask for a part (RFC 9111 §4.3.2, §3.3).
const FOR_THE_ORIGIN: [&str; 4] = ["if-match", "if-unmodified-since", "if-range", "range"];

impl RequestRules {
    /// Decides by method and fields.
    pub fn part(&self, method: &str, fields: &Fields) -> Part {
        match method {
            "GET" | "HEAD" if self.passes(fields) => Part::Pass(Forward::Bypass),
            "GET" | "HEAD" if self.directives(fields).has("no-store") => {
                Part::Pass(Forward::Request)
            }
            "GET" | "HEAD" => Part::LookUp,
            // RFC 9110 §9.2.1: safe, and not for a cache.
            "OPTIONS" | "TRACE" => Part::Pass(Forward::Method),
            _ => Part::Invalidate,
        }
    }

    /// The directives of a request, as far as they count.
    pub fn directives(&self, fields: &Fields) -> Directives {
        if self.ignore_directives {
            return Directives::default();
        }
        Directives::of_request(fields)
    }

    /// Whether the request says who asks (RFC 9111 §3.5).
    pub fn is_personal(&self, fields: &Fields) -> bool {
        let names = self.credentials.iter().map(String::as_str);
        names
            .chain(["authorization"])
            .any(|name| fields::has(fields, name))
    }

    fn passes(&self, fields: &Fields) -> bool {
        let has = |name: &str| fields::has(fields, name);
        let is_marked = self.bypass_header.as_deref().is_some_and(has);
        is_marked
            || (has("cookie") && !self.with_cookies)
            || FOR_THE_ORIGIN.into_iter().any(has)
            || has_body(fields)
            || fields::size(fields) > MAX_FIELD_BYTES
    }
}

/// A GET with a body may mean anything (RFC 9110 §9.3.1).
fn has_body(fields: &Fields) -> bool {
    let is_announced = fields::text(fields, "content-length").is_some_and(|length| length != "0");
    is_announced || fields::has(fields, "transfer-encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rules: &RequestRules, method: &str, pairs: &[(&str, &str)]) -> Part {
        rules.part(method, &fields::of(pairs))
    }

    #[test]
    fn requests_that_are_for_the_origin_pass() {
        let rules = RequestRules {
            bypass_header: Some("x-fresh".to_owned()),
            ..RequestRules::default()
        };
        let bypass = Part::Pass(Forward::Bypass);
        for (method, pairs, expected) in [
            ("GET", &[][..], Part::LookUp),
            ("HEAD", &[("if-none-match", "\"1\"")], Part::LookUp),
            ("GET", &[("range", "bytes=0-1")], bypass),
            ("GET", &[("if-match", "\"1\"")], bypass),
            ("GET", &[("cookie", "a=b")], bypass),
            ("GET", &[("x-fresh", "")], bypass),
            ("GET", &[("content-length", "1")], bypass),
            ("GET", &[("content-length", "0")], Part::LookUp),
            (
                "GET",
                &[("cache-control", "no-store")],
                Part::Pass(Forward::Request),
            ),
            ("OPTIONS", &[], Part::Pass(Forward::Method)),
            ("POST", &[("cookie", "a=b")], Part::Invalidate),
            ("PURGE", &[], Part::Invalidate),
        ] {
            assert_eq!(part(&rules, method, pairs), expected, "{method} {pairs:?}");
        }
        let long = "x".repeat(MAX_FIELD_BYTES);
        assert_eq!(part(&rules, "GET", &[("x", &long)]), bypass);
    }

    #[test]
    fn the_operator_says_what_counts() {
        let rules = RequestRules {
            with_cookies: true,
            ignore_directives: true,
            credentials: vec!["x-api-key".to_owned()],
            ..RequestRules::default()
        };
        assert_eq!(
            part(
                &rules,
                "GET",
                &[("cookie", "a=b"), ("cache-control", "no-store")]
            ),
            Part::LookUp
        );
        assert!(rules.is_personal(&fields::of(&[("x-api-key", "k")])));
        assert!(rules.is_personal(&fields::of(&[("authorization", "Basic x")])));
        assert!(!RequestRules::default().is_personal(&fields::of(&[("x-api-key", "k")])));
    }
}
