//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::decision::MAX_LIMITS;
use crate::gcra::Rate;
use crate::key::Selector;
use crate::limits::{Limit, Limits};

/// A bucket's key outlives this by nothing: the store's time to live ends at 49 days.
const MAX_REFILL_US: u64 = 31 * 86_400 * 1_000_000;
/// Requests per second, so that an interval is at least 10 µs and rounding it up costs at most 10 %.
const MAX_PER_SECOND: u64 = 100_000;
/// The default burst's upper end: a large rate over a long time is hardly meant to come at once.
const MAX_DEFAULT_BURST: u32 = 1_000;
/// Parts of a key, and selectors in a row of `or`: a bound on look-ups and on the key's length.
const MAX_SELECTORS: usize = 4;
/// Of limit and header names.
const MAX_NAME: usize = 64;

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
    /// Requests allowed in each `per`, on average.
    #[schemars(range(min = 1))]
    pub rate: u32,
    /// The time of `rate`, in whole seconds: `1s` to `744h`.
    pub per: Duration,
    /// Requests that may come at once. Default: `rate`, but at most 1000.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

/// One selector, or several whose values are combined.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected client_address, route, { header: NAME, or: … } or a list of these"
)]
pub enum Key {
    /// One value.
    One(SelectorConfig),
    /// The combination of 1 to 4 values.
    Combined(#[schemars(length(min = 1, max = 4))] Vec<SelectorConfig>),
}

/// Where a value comes from.
// A struct variant and no struct of its own: serde would read a struct from a list, too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected client_address, route or { header: NAME, or: … }"
)]
pub enum SelectorConfig {
    /// A fact of the exchange.
    Fact(FactName),
    /// A request header's first value.
    Header {
        /// The header's name.
        #[schemars(length(min = 1, max = 64))]
        header: String,
        /// What counts when the header is missing or empty. Without it all such requests share one bucket.
        #[serde(default)]
        or: Option<Box<SelectorConfig>>,
    },
}

/// Facts of the exchange.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactName {
    /// The caller's address; IPv6 by its /64.
    ClientAddress,
    /// The route's name.
    Route,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn limits(&self) -> Result<Limits, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        if self.limits.is_empty() || self.limits.len() > MAX_LIMITS {
            problems.push(ConfigProblem::new(
                "/limits",
                format!("must have 1 to {MAX_LIMITS} items"),
            ));
        }
        for (i, limit) in self.limits.iter().enumerate() {
            let mut report = |field: &str, message: &str| {
                problems.push(ConfigProblem::new(format!("/limits/{i}/{field}"), message));
            };
            limit.check(&mut report);
            if self.limits[..i]
                .iter()
                .any(|earlier| earlier.name == limit.name)
            {
                report("name", "is the name of an earlier limit");
            }
        }
        if problems.is_empty() {
            Ok(Limits::new(self.limits.iter().map(Limit::from).collect()))
        } else {
            Err(problems)
        }
    }
}

impl LimitConfig {
    fn check(&self, report: &mut impl FnMut(&str, &str)) {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if !(1..=MAX_NAME).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            report("name", "must be 1 to 64 of a-z, 0-9, - and _");
        }
        self.key.check(report);
        if self.rate == 0 {
            report("rate", "must be at least 1");
        }
        if self.burst == Some(0) {
            report("burst", "must be at least 1");
        }
        let per_us = self.per.as_micros();
        if !per_us.is_multiple_of(1_000_000) || !(1_000_000..=MAX_REFILL_US).contains(&per_us) {
            report("per", "must be whole seconds from 1s to 744h");
        } else if u64::from(self.rate) > per_us / 1_000_000 * MAX_PER_SECOND {
            report("rate", "must be at most 100000 per second");
        } else if self.rate > 0 && self.rate().tolerance_us() > MAX_REFILL_US {
            report("burst", "takes more than 31 days to refill");
        }
    }

    fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.rate.min(MAX_DEFAULT_BURST))
    }

    fn rate(&self) -> Rate {
        Rate::new(self.rate, self.per.as_micros(), self.burst())
    }
}

impl From<&LimitConfig> for Limit {
    fn from(config: &LimitConfig) -> Self {
        let per_seconds = config.per.as_millis() / 1_000;
        Self {
            name: config.name.clone(),
            rate: config.rate(),
            requests: config.rate,
            per_seconds,
            burst: config.burst(),
            key: config.key.selectors().iter().map(Selector::from).collect(),
        }
    }
}

impl Key {
    fn selectors(&self) -> &[SelectorConfig] {
        match self {
            Self::One(selector) => std::slice::from_ref(selector),
            Self::Combined(selectors) => selectors,
        }
    }

    fn check(&self, report: &mut impl FnMut(&str, &str)) {
        let selectors = self.selectors();
        if !(1..=MAX_SELECTORS).contains(&selectors.len()) {
            report("key", "must combine 1 to 4 selectors");
        }
        for selector in selectors {
            let (mut next, mut length) = (Some(selector), 0);
            while let Some(SelectorConfig::Header { header, or }) = next {
                if !is_header_name(header) {
                    report("key", &format!("\"{header}\" is no header name"));
                }
                next = or.as_deref();
                length += 1;
            }
            if length + usize::from(next.is_some()) > MAX_SELECTORS {
                report("key", "must have at most 4 selectors in a row of `or`");
            }
        }
    }
}

impl From<&SelectorConfig> for Selector {
    fn from(config: &SelectorConfig) -> Self {
        match config {
            SelectorConfig::Fact(FactName::ClientAddress) => Self::ClientAddress,
            SelectorConfig::Fact(FactName::Route) => Self::Route,
            SelectorConfig::Header { header, or } => Self::Header {
                name: header.to_ascii_lowercase(),
                or: or.as_deref().map(|fallback| Box::new(fallback.into())),
            },
        }
    }
}

/// A token (RFC 9110, 5.6.2).
fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(token)
}

#[cfg(test)]
mod tests;
