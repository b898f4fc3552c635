//! The config of one use of the policy, as an operator writes it.

use std::collections::BTreeMap;

use portcullis_sdk::credential::Source;
use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;

mod check;
pub use check::Checked;

/// Which tokens are accepted, and what becomes of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys that stand here or in secrets, at most 16. At least one key or one JWKS is needed.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub keys: Vec<KeyConfig>,
    /// Key sets that issuers publish, at most 4.
    #[serde(default)]
    #[schemars(length(max = 4))]
    pub jwks: Vec<JwksConfig>,
    /// `iss` must be one of these. Default: any.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// `aud` must name one of these. Without any, a token that has an `aud` is refused (RFC 7519 §4.1.3).
    #[serde(default)]
    pub audiences: Vec<String>,
    /// `typ` of the token's header must be one of these, such as `at+jwt`. Default: any or none.
    #[serde(default)]
    pub types: Vec<String>,
    /// Claims that a token must have. Default: `exp`.
    #[serde(default = "exp")]
    pub required_claims: Vec<String>,
    /// Scopes that a token must have in `scope` or `scp`, all of them; 403 otherwise.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// By how much the issuer's clock and the gateway's may differ, at most `10m`. Default: `60s`.
    #[serde(default = "minute")]
    pub leeway: Duration,
    /// How long after `iat` a token is accepted at most; it must have an `iat` then. Default: as long as its `exp` says.
    pub max_age: Option<Duration>,
    /// Where a token may be, in this order, at most 4: `bearer`, `{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`. Default: `bearer`.
    #[serde(default = "bearer")]
    #[schemars(length(min = 1, max = 4))]
    pub token: Vec<Source>,
    /// Whether the upstream gets the token that was verified. Default: false.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a token passes, without identity. A bad token is refused all the same. Default: false.
    #[serde(default)]
    pub optional: bool,
    /// The claim that is shared as `identity` with later policies and the access log: a name, or a JSON Pointer. Default: `sub`.
    #[serde(default = "sub")]
    pub identity: String,
    /// Request headers, at most 12, with the claim that the upstream gets in each: a name, or a JSON Pointer. What a client has sent under these names never passes.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, String>,
    /// `realm` of the challenge. Default: `portcullis`.
    #[serde(default = "realm")]
    #[schemars(length(min = 1, max = 128))]
    pub realm: String,
}

/// One key: `secret`, `pem` or `jwk`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The name of a secret that an HMAC is made with. It needs the grant `secrets`.
    pub secret: Option<String>,
    /// How the secret is written. Default: `text`.
    pub encoding: Option<Encoding>,
    /// A public key in PEM: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519.
    pub pem: Option<String>,
    /// A public key as a JWK.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub jwk: Option<Jwk>,
    /// The key's name. A token with another `kid` is not its. Default: that of the JWK; else any token's.
    pub kid: Option<String>,
    /// The only issuer whose tokens it may sign. Default: any that `issuers` has.
    pub issuer: Option<String>,
    /// What it is used for. Default: the JWK's `alg`; HS256 for a secret, else all that fit the key.
    pub algorithms: Option<Vec<Algorithm>>,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Its bytes are the key.
    #[default]
    Text,
    /// In base64url without padding, as `k` of a JWK.
    Base64url,
}

/// A key set at an upstream. It needs the grant `outcall` for it, and `kv` to be kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksConfig {
    /// The upstream's name.
    #[schemars(length(min = 1))]
    pub upstream: String,
    /// The path there, such as `/.well-known/jwks.json`.
    #[schemars(length(max = 512), regex(pattern = r"^/"))]
    pub path: String,
    /// The only issuer whose tokens its keys may sign. Needed where several issuers are accepted.
    pub issuer: Option<String>,
    /// What its keys are used for. Default: all of public keys that fit the key.
    pub algorithms: Option<Vec<Algorithm>>,
    /// How long the keys are used without asking again, `1s` to `24h`. Default: `10m`.
    #[serde(default = "ten_minutes")]
    pub cache: Duration,
    /// How much longer they are used while asking fails, at most `168h`. Default: `1h`.
    #[serde(default = "hour")]
    pub stale: Duration,
    /// How often they are asked for at most because of tokens with an unknown `kid`, `1s` to `1h`. Default: `10s`.
    #[serde(default = "ten_seconds")]
    pub refetch: Duration,
    /// How long the issuer has for its answer, `1ms` to `30s`. `limits.time` must be longer. Default: `2s`.
    #[serde(default = "two_seconds")]
    pub timeout: Duration,
}

fn exp() -> Vec<String> {
    vec!["exp".to_owned()]
}

fn bearer() -> Vec<Source> {
    vec![Source::Bearer]
}

fn sub() -> String {
    "sub".to_owned()
}

fn realm() -> String {
    "portcullis".to_owned()
}

const fn minute() -> Duration {
    Duration::from_secs(60)
}

const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

const fn hour() -> Duration {
    Duration::from_secs(3_600)
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

impl Config {
    /// Checks what the types cannot say, and reads the keys.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn checked(self) -> Result<Checked, Vec<ConfigProblem>> {
        check::checked(self)
    }
}

#[cfg(test)]
mod tests;
