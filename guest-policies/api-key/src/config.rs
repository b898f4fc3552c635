//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::credential::Source;
use portcullis_sdk::{ConfigProblem, Duration, editable_header};
use schemars::JsonSchema;
use serde::Deserialize;

const MAX_SOURCES: usize = 4;
const MAX_SECRETS: usize = 8;
/// Of a key in Redis, before the digest.
const MAX_PREFIX: usize = 64;
/// What the store is asked for again after this at the latest: a key that is taken back is refused by then.
const MAX_CACHE: Duration = Duration::from_secs(3_600);

/// Where keys are in requests, and where it is known which ones there are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where a key may be, in this order, at most 4: `{ header: NAME }`, `bearer`, `{ cookie: NAME }`, `{ query: NAME }`. Default: `{ header: x-api-key }`.
    #[serde(default = "header")]
    #[schemars(length(min = 1, max = 4))]
    pub key: Vec<Source>,
    /// Names of secrets that list keys by their hashes, at most 8. They need the grant `secrets`.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub secrets: Vec<String>,
    /// Keys by their hashes in Redis, for those that are in no secret. It needs the grant `redis`.
    pub redis: Option<RedisConfig>,
    /// A request header in which the upstream gets the key's name. What a client has sent under this name never passes. Default: none.
    pub identity_header: Option<String>,
    /// Whether the upstream gets the key that was verified. Default: false.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a key passes, without identity. A bad key is refused all the same. Default: false.
    #[serde(default)]
    pub optional: bool,
    /// What happens to a request with a key when nobody can tell whether it is one. Default: `closed`.
    #[serde(default)]
    pub on_store_error: OnStoreError,
    /// `realm` of the challenge. Default: `portcullis`.
    #[serde(default = "realm")]
    #[schemars(length(min = 1, max = 128))]
    pub realm: String,
}

/// Keys in Redis: a value for each, under the prefix and the SHA-256 of the key in lower-case hexadecimal digits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Stands before the digest, after the prefix of the grant. Default: none.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub prefix: String,
    /// How long a key that was found is taken for good, in `kv`; at most `1h`, `0s` for never. Default: `10s`.
    #[serde(default = "ten_seconds")]
    pub cache: Duration,
    /// How long a key that was not found is taken for bad, in `kv`; at most `1h`, `0s` for never. Default: `2s`.
    #[serde(default = "two_seconds")]
    pub cache_unknown: Duration,
}

/// What to do when it can't be told whether a key is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Let the request pass, without identity.
    Open,
    /// Answer 503 with `Retry-After`.
    #[default]
    Closed,
}

fn header() -> Vec<Source> {
    vec![Source::Header("x-api-key".to_owned())]
}

fn realm() -> String {
    "portcullis".to_owned()
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

impl Config {
    /// Checks what the types cannot say; names of headers are in lower case then.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn checked(mut self) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if !(1..=MAX_SOURCES).contains(&self.key.len()) {
            report("/key", "must have 1 to 4 items");
        }
        for (i, source) in self.key.iter().enumerate() {
            if let Some(problem) = source.problem() {
                report(&format!("/key/{i}"), &problem);
            }
        }
        if self.secrets.is_empty() && self.redis.is_none() {
            report(
                "",
                "no key would be known: name a secret in `secrets`, or add `redis: {}`",
            );
        }
        if self.secrets.len() > MAX_SECRETS {
            report("/secrets", "must have at most 8 items");
        }
        if let Some(redis) = &self.redis {
            redis.check(&mut report);
        }
        let may_stand =
            |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && !b"\"\\".contains(&byte);
        if !(1..=128).contains(&self.realm.len()) || !self.realm.bytes().all(may_stand) {
            report(
                "/realm",
                "must be 1 to 128 of printable ASCII without quotes and backslashes",
            );
        }
        match self.identity_header.as_deref().map(editable_header) {
            Some(Ok(name)) if self.holds_keys(&name) => {
                report(
                    "/identity_header",
                    "is where a key comes in: name another header",
                );
            }
            Some(Ok(name)) => self.identity_header = Some(name),
            Some(Err(problem)) => report("/identity_header", &problem),
            None => {}
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }

    /// Whether keys are looked for in that header.
    fn holds_keys(&self, header: &str) -> bool {
        self.key.iter().any(|source| match source {
            Source::Bearer => header == "authorization",
            Source::Header(name) => name.eq_ignore_ascii_case(header),
            Source::Cookie(_) => header == "cookie",
            Source::Query(_) => false,
        })
    }
}

impl RedisConfig {
    fn check(&self, report: &mut impl FnMut(&str, &str)) {
        if self.prefix.len() > MAX_PREFIX || self.prefix.chars().any(char::is_control) {
            report(
                "/redis/prefix",
                "must have at most 64 bytes and no control characters",
            );
        }
        for (path, cache) in [
            ("/redis/cache", self.cache),
            ("/redis/cache_unknown", self.cache_unknown),
        ] {
            if cache > MAX_CACHE {
                report(path, "must be at most 1h");
            }
        }
    }
}

#[cfg(test)]
mod tests;
