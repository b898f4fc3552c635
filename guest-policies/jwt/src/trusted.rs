//! A key with what it is trusted for.

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::key::Key;
use crate::token::Token;

/// Whose tokens a key may verify.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The key's name. Without one it is tried for tokens of any name.
    pub kid: Option<String>,
    /// The only issuer that it is trusted for; without one, any that the rules accept.
    pub issuer: Option<String>,
    /// The only algorithms that it is used with: never whatever a token says (RFC 8725 §3.1).
    pub algorithms: Vec<Algorithm>,
}

impl Trust {
    /// Whether a token that says so may be this key's. Says nothing about its signature.
    pub fn covers(&self, token: &Token) -> bool {
        self.algorithms.contains(&token.algorithm)
            && is_or_any(self.kid.as_deref(), token.kid.as_deref())
            && speaks_for(self.issuer.as_deref(), token)
    }
}

/// Whether a key of that issuer may have signed the token.
pub fn speaks_for(issuer: Option<&str>, token: &Token) -> bool {
    let claimed = token.claims.get("iss").and_then(Value::as_str);
    issuer.is_none_or(|issuer| claimed == Some(issuer))
}

/// Names need not be given (RFC 7515 §4.1.4); where both are, they are the same.
fn is_or_any(ours: Option<&str>, theirs: Option<&str>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    }
}

/// Of the algorithms that fit a key, those that are `allowed`, where the key itself says one, that one alone.
pub fn allowed(key: &Key, own: Option<Algorithm>, allowed: Option<&[Algorithm]>) -> Vec<Algorithm> {
    let fits = |algorithm: &Algorithm| {
        own.is_none_or(|own| own == *algorithm)
            && allowed.is_none_or(|allowed| allowed.contains(algorithm))
    };
    key.algorithms().iter().copied().filter(fits).collect()
}
