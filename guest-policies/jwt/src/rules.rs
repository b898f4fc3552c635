//! What a token whose signature holds must claim to be accepted here and now.

use serde_json::{Map, Value};

use crate::refusal::{EXPIRED, Invalid};
use crate::token::Token;

/// The rules of one use. Times are in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// One of these has issued it; empty: whoever has a key.
    pub issuers: Vec<String>,
    /// It is meant for one of these; empty: it must not say for whom.
    pub audiences: Vec<String>,
    /// Its header says one of these media types; empty: any or none.
    pub types: Vec<String>,
    /// Claims that it must have.
    pub required: Vec<String>,
    /// Scopes that it must have, all of them.
    pub scopes: Vec<String>,
    /// By how much the issuer's clock and this one may differ.
    pub leeway: f64,
    /// How long after `iat` it is accepted at most.
    pub max_age: Option<f64>,
}

impl Rules {
    /// Whether the token is accepted at `now`, scopes aside.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn check(&self, token: &Token, now: f64) -> Result<(), Invalid> {
        let claims = &token.claims;
        self.check_type(token.typ.as_deref())?;
        self.check_times(claims, now)?;
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let is_there = |name: &String| claims.get(name).is_some_and(|claim| !claim.is_null());
        if !self.required.iter().all(is_there) {
            return Err(Invalid("the token lacks a required claim"));
        }
        Ok(())
    }

    /// Whether it has all scopes: of `scope` (RFC 8693 §4.2) or `scp`, a text with spaces or a list.
    pub fn has_scopes(&self, claims: &Map<String, Value>) -> bool {
        if self.scopes.is_empty() {
            return true;
        }
        let scopes = claims.get("scope").or_else(|| claims.get("scp"));
        let granted: Vec<&str> = match scopes {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        self.scopes
            .iter()
            .all(|scope| granted.contains(&scope.as_str()))
    }

    /// Without the prefix `application/` and whatever the case (RFC 7515 §4.1.9).
    fn check_type(&self, typ: Option<&str>) -> Result<(), Invalid> {
        let bare = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/")
                .map_or(typ.clone(), str::to_owned)
        };
        let is_wanted = |typ: &str| self.types.iter().any(|wanted| bare(wanted) == bare(typ));
        if self.types.is_empty() || typ.is_some_and(is_wanted) {
            Ok(())
        } else {
            Err(Invalid("the token is of another type"))
        }
    }

    /// RFC 7519 §4.1.4 to §4.1.6.
    fn check_times(&self, claims: &Map<String, Value>, now: f64) -> Result<(), Invalid> {
        if time(claims, "exp")?.is_some_and(|exp| now >= exp + self.leeway) {
            return Err(EXPIRED);
        }
        if time(claims, "nbf")?.is_some_and(|nbf| now + self.leeway < nbf) {
            return Err(Invalid("the token is not valid yet"));
        }
        let iat = time(claims, "iat")?;
        if iat.is_some_and(|iat| now + self.leeway < iat) {
            return Err(Invalid("the token was issued in the future"));
        }
        match (self.max_age, iat) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Invalid("the token does not say when it was issued")),
            (Some(max_age), Some(iat)) if now >= iat + max_age + self.leeway => {
                Err(Invalid("the token is too old"))
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Invalid> {
        let issuer = claims.get("iss").and_then(Value::as_str);
        let is_known = |issuer: &str| self.issuers.iter().any(|known| known == issuer);
        if self.issuers.is_empty() || issuer.is_some_and(is_known) {
            Ok(())
        } else {
            Err(Invalid("the token is of another issuer"))
        }
    }

    /// Who does not find itself in an `aud` that is there must refuse the token (RFC 7519 §4.1.3).
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Invalid> {
        let is_ours = |audience: &Value| {
            let audience = audience.as_str();
            audience.is_some_and(|audience| self.audiences.iter().any(|ours| ours == audience))
        };
        let is_meant = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
        };
        if is_meant {
            Ok(())
        } else {
            Err(Invalid("the token is for another audience"))
        }
    }
}

/// A NumericDate (RFC 7519 §2).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Invalid> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(seconds.as_f64()),
        Some(_) => Err(Invalid("a time of the token is no number")),
    }
}

#[cfg(test)]
mod tests;
