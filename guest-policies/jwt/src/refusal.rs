//! What a caller is told when its request does not pass: RFC 6750 §3, in a problem document.

use portcullis_sdk::LocalResponse;

/// Why a token is not accepted: a text for `error_description`, the same for all tokens, with nothing of the
/// token in it and nothing that would have to be escaped there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

/// The time of a token is over. Told apart from the other reasons, since clients get a new one and go on.
pub const EXPIRED: Invalid = Invalid("the token has expired");

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no token.
    Missing,
    /// It has several in one place.
    Ambiguous,
    /// Its token is not accepted.
    Invalid(Invalid),
    /// Its token is, but lacks a scope.
    InsufficientScope,
    /// The keys are not to be had: nobody can tell. Why is for the log alone.
    Unavailable(String),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Refusal {
    /// For the metric.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Invalid(EXPIRED) => "expired",
            Self::Invalid(_) => "invalid",
            Self::InsufficientScope => "insufficient_scope",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The answer. `realm` has no quote and no backslash; `scopes` are those that are asked for, with a space between.
    pub fn response(&self, realm: &str, scopes: &str) -> LocalResponse {
        let (status, title, error) = match self {
            // No error code for who has sent no token (RFC 6750 §3.1): it may not know that one is wanted.
            Self::Missing => (401, "A bearer token is required", None),
            Self::Ambiguous => {
                let error = ("invalid_request", "more than one token was sent");
                (400, "More than one bearer token", Some(error))
            }
            Self::Invalid(Invalid(reason)) => {
                let error = ("invalid_token", *reason);
                (401, "The bearer token is not accepted", Some(error))
            }
            Self::InsufficientScope => {
                let error = ("insufficient_scope", "the token lacks a scope");
                (403, "The bearer token lacks a scope", Some(error))
            }
            Self::Unavailable(_) => {
                return LocalResponse::problem(503, "Tokens can't be verified at present")
                    .header("retry-after", "1");
            }
        };
        let response = match error {
            Some((_, detail)) => {
                LocalResponse::problem_with(status, title, [("detail", detail.into())])
            }
            None => LocalResponse::problem(status, title),
        };
        let mut challenge = format!("Bearer realm=\"{realm}\"");
        if let Some((code, description)) = error {
            challenge += &format!(", error=\"{code}\", error_description=\"{description}\"");
        }
        if !scopes.is_empty() && *self != Self::Ambiguous {
            challenge += &format!(", scope=\"{scopes}\"");
        }
        response.header("www-authenticate", challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusal: &Refusal, scopes: &str) -> (u16, String) {
        let response = refusal.response("api", scopes);
        let (name, value) = &response.headers[1];
        (
            response.status,
            format!("{name}: {}", String::from_utf8_lossy(value)),
        )
    }

    #[test]
    fn challenges_are_those_of_rfc_6750() {
        let expected = (401, "www-authenticate: Bearer realm=\"api\"".to_owned());
        assert_eq!(told(&Refusal::Missing, ""), expected);
        let (status, challenge) = told(&EXPIRED.into(), "");
        assert_eq!(status, 401);
        assert_eq!(
            challenge,
            "www-authenticate: Bearer realm=\"api\", error=\"invalid_token\", error_description=\"the token has expired\""
        );
        let (status, challenge) = told(&Refusal::InsufficientScope, "read write");
        assert_eq!(status, 403);
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        assert!(challenge.ends_with("scope=\"read write\""), "{challenge}");
        let (status, challenge) = told(&Refusal::Ambiguous, "read");
        assert_eq!(status, 400);
        assert!(
            challenge.contains("error=\"invalid_request\""),
            "{challenge}"
        );
    }

    #[test]
    fn keys_that_are_not_there_are_no_fault_of_the_callers() {
        let refusal = Refusal::Unavailable("connect-refused".to_owned());
        assert_eq!(told(&refusal, "read"), (503, "retry-after: 1".to_owned()));
        let body = refusal.response("api", "").body;
        assert!(!String::from_utf8_lossy(&body).contains("refused"));
    }
}
