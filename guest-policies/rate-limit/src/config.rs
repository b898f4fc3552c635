//! The config of one use of the policy, as an operator writes it.

mod limit;
mod read;

pub use limit::{CostConfig, LimitConfig};

use portcullis_keys::{ListEntry, Lists};
use portcullis_sdk::ConfigProblem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::decision::MAX_LIMITS;
use crate::fields::Told;
use crate::limits::{Limit, Limits};

/// More gateways than this share a limit hardly anywhere.
const MAX_GATEWAYS: u32 = 1_000;

/// Rate limits: a request passes when all of them allow it, and is charged to all or to none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The limits, 1 to 8, with names of their own.
    #[schemars(length(min = 1, max = 8))]
    pub limits: Vec<LimitConfig>,
    /// What happens to a request when the store fails and nobody can count it. Default: `closed`.
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
    /// Which response fields callers get: `draft`, `legacy`, `none`, or a list. Default: `draft`.
    #[serde(default)]
    pub fields: FieldsConfig,
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

/// One word, or several.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum FieldsConfig {
    /// One kind of fields, or none.
    One(FieldsWord),
    /// All these kinds.
    Several(Vec<FieldsWord>),
}

/// A kind of response fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum FieldsWord {
    /// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11.
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    Legacy,
    /// No fields; `Retry-After` of a refusal stays.
    None,
}

impl Default for FieldsConfig {
    fn default() -> Self {
        Self::One(FieldsWord::Draft)
    }
}

impl FieldsConfig {
    /// As flags.
    pub fn told(&self) -> Told {
        Told {
            draft: self.words().contains(&FieldsWord::Draft),
            legacy: self.words().contains(&FieldsWord::Legacy),
        }
    }

    fn words(&self) -> &[FieldsWord] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }
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
        for (i, limit) in self.limits.iter().enumerate() {
            let path = format!("/limits/{i}");
            limit.check(&path, problems);
            let mut earlier = self.limits[..i].iter();
            if earlier.any(|earlier| earlier.name == limit.name) {
                let message = "is the name of an earlier limit";
                problems.push(ConfigProblem::new(format!("{path}/name"), message));
            }
        }
    }
}

fn too_many_requests() -> u16 {
    429
}

#[cfg(test)]
mod tests;
