//! The config of one use of the policy, as an operator writes it.

use portcullis_keys::{Key, ListEntry, Lists};
use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::claim::MAX_LIMITS;
use crate::limits::{Limit, Limits};

/// Holders of one key: each is 8 bytes that a request reads and writes in the gateway's memory.
const MAX_CONCURRENCY: u32 = 10_000;
/// More gateways than this share a limit hardly anywhere.
const MAX_GATEWAYS: u32 = 1_000;
/// Of a limit.
const MAX_NAME: usize = 64;
/// The longest `timeout`: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// Concurrency limits: a request passes when all of them have a place for it, and takes one of each or none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The limits, 1 to 8, with names of their own.
    #[schemars(length(min = 1, max = 8))]
    pub limits: Vec<LimitConfig>,
    /// How long a place is held at most, `1s` to `24h`; longer than any exchange should take. Default: `1m`.
    #[serde(default = "one_minute")]
    pub timeout: Duration,
    /// What happens to a request when the store fails. Default: `closed`.
    #[serde(default)]
    pub on_store_error: OnStoreError,
    /// How many gateways share the store: what each limit is divided by under `on_store_error: local`, which needs it.
    #[schemars(range(min = 1, max = 1000))]
    pub gateways: Option<u32>,
    /// Callers who pass uncounted.
    #[serde(default)]
    pub allow: Vec<ListEntry>,
    /// Callers who get 403; goes before `allow`.
    #[serde(default)]
    pub deny: Vec<ListEntry>,
    /// The status of a refusal, 400 to 599. Default: 429.
    #[serde(default = "too_many_requests")]
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
}

/// What to do when the store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Let the request pass, uncounted.
    Open,
    /// Answer 503 with `Retry-After`.
    #[default]
    Closed,
    /// Count in this gateway, by each limit divided by `gateways`; without room or grant for that, answer 503.
    Local,
}

/// One limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Stands in the response fields, in the metrics and in the store's keys. Lower-case letters, digits, `-` and `_`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_-]+$"))]
    pub name: String,
    /// Whose requests are counted together.
    pub key: Key,
    /// How many of them may be in flight at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: u32,
    /// Counts and reports, and never refuses. Default: false.
    #[serde(default)]
    pub shadow: bool,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn check(&self) -> Result<(Limits, Lists), Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report = |path: &str, message: &str| {
            problems.push(ConfigProblem::new(path, message));
        };
        if self.limits.is_empty() || self.limits.len() > MAX_LIMITS {
            report("/limits", &format!("must have 1 to {MAX_LIMITS} items"));
        }
        if !(1_000..=MAX_TIMEOUT_MS).contains(&self.timeout.as_millis()) {
            report("/timeout", "must be 1s to 24h");
        }
        if !(400..=599).contains(&self.status) {
            report("/status", "must be 400 to 599");
        }
        match (self.on_store_error, self.gateways) {
            (OnStoreError::Local, None) => {
                report(
                    "/gateways",
                    "is missing: on_store_error: local divides each limit by it",
                );
            }
            (OnStoreError::Local, Some(count)) if !(1..=MAX_GATEWAYS).contains(&count) => {
                report("/gateways", "must be 1 to 1000");
            }
            (OnStoreError::Local, _) | (_, None) => {}
            _ => report("/gateways", "is only for on_store_error: local"),
        }
        self.check_limits(&mut problems);
        let lists = Lists::new(&self.allow, &self.deny, &mut problems);
        if problems.is_empty() {
            let limits = self.limits.iter().map(Limit::from).collect();
            Ok((Limits::new(limits), lists))
        } else {
            Err(problems)
        }
    }

    /// How many gateways share each limit while the store is away, when they do.
    pub fn gateways(&self) -> Option<u32> {
        self.gateways
            .filter(|_| self.on_store_error == OnStoreError::Local)
    }

    fn check_limits(&self, problems: &mut Vec<ConfigProblem>) {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        for (i, limit) in self.limits.iter().enumerate() {
            let name = &limit.name;
            limit.key.check(&format!("/limits/{i}/key"), problems);
            let mut report = |field: &str, message: &str| {
                problems.push(ConfigProblem::new(format!("/limits/{i}/{field}"), message));
            };
            if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(plain) {
                report("name", "must be 1 to 64 of a-z, 0-9, - and _");
            }
            if self.limits[..i].iter().any(|earlier| earlier.name == *name) {
                report("name", "is the name of an earlier limit");
            }
            if !(1..=MAX_CONCURRENCY).contains(&limit.concurrency) {
                report("concurrency", "must be 1 to 10000");
            }
        }
    }
}

impl From<&LimitConfig> for Limit {
    fn from(config: &LimitConfig) -> Self {
        Self {
            name: config.name.clone(),
            key: config.key.selectors(),
            bound: config.concurrency,
            is_shadow: config.shadow,
        }
    }
}

fn one_minute() -> Duration {
    Duration::from_secs(60)
}

fn too_many_requests() -> u16 {
    429
}

#[cfg(test)]
mod tests;
