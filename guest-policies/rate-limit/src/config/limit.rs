//! One limit, as an operator writes it.

use portcullis_keys::Key;
use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cost::{Cost, HeaderCost};
use crate::gcra::Rate;
use crate::limits::Limit;

/// A bucket's key outlives this by nothing: the store's time to live ends at 49 days.
const MAX_REFILL_US: u64 = 31 * 86_400 * 1_000_000;
/// Requests per second, so that an interval is at least 10 µs and rounding it up costs at most 10 %.
const MAX_PER_SECOND: u64 = 100_000;
/// The default burst's upper end: a large rate over a long time is hardly meant to come at once.
const MAX_DEFAULT_BURST: u32 = 1_000;
/// Of limit and header names.
pub(super) const MAX_NAME: usize = 64;

/// One limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Stands in the response fields, in the metrics and in the store's keys. Lower-case letters, digits, `-` and `_`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_-]+$"))]
    pub name: String,
    /// Whose requests are counted together.
    pub key: Key,
    /// Requests, or units of `cost`, allowed in each `per`, on average.
    #[schemars(range(min = 1))]
    pub rate: u32,
    /// The time of `rate`, in whole seconds: `1s` to `744h`.
    pub per: Duration,
    /// Requests, or units, that may come at once. Default: `rate`, but at most 1000.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Units that a request costs. Default: 1.
    #[serde(default)]
    pub cost: CostConfig,
    /// Units that each gateway takes from Redis ahead and spends without asking, at most `burst`; they may come on
    /// top of the limit. Default: none.
    #[schemars(range(min = 1))]
    pub lease: Option<u32>,
    /// Counts and reports, and never refuses. Default: false.
    #[serde(default)]
    pub shadow: bool,
}

/// What a request costs.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum CostConfig {
    /// The same for each request; at least 1, at most `burst`.
    Fixed(#[schemars(range(min = 1))] u32),
    /// What a request header says.
    Header {
        /// The header's name. Its value is a whole number; whoever sets it must be trusted.
        #[schemars(length(min = 1, max = 64))]
        header: String,
        /// Units when the header is missing or is no whole number. Default: 1.
        #[schemars(default = "one")]
        default: u32,
        /// Less counts as this; 0 lets requests that say 0 pass free. Default: 1.
        #[schemars(default = "one")]
        min: u32,
        /// More counts as this; at most `burst`, which is the default.
        max: Option<u32>,
    },
}

impl Default for CostConfig {
    fn default() -> Self {
        Self::Fixed(1)
    }
}

impl LimitConfig {
    /// Reports each problem below `path`, the JSON Pointer of the limit.
    pub(super) fn check(&self, path: &str, problems: &mut Vec<ConfigProblem>) {
        self.key.check(&format!("{path}/key"), problems);
        let mut report = |field: &str, message: &str| {
            problems.push(ConfigProblem::new(format!("{path}/{field}"), message));
        };
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if !(1..=MAX_NAME).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            report("name", "must be 1 to 64 of a-z, 0-9, - and _");
        }
        self.check_rate(&mut report);
        self.check_cost(&mut report);
        if self
            .lease
            .is_some_and(|lease| !(1..=self.burst()).contains(&lease))
        {
            report("lease", "must be 1 to `burst`");
        }
    }

    fn check_rate(&self, report: &mut impl FnMut(&str, &str)) {
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

    fn check_cost(&self, report: &mut impl FnMut(&str, &str)) {
        // A request beyond the burst could never pass.
        let most = self.burst().max(1);
        match &self.cost {
            CostConfig::Fixed(cost) => {
                if !(1..=most).contains(cost) {
                    report("cost", "must be 1 to `burst`: more could never pass");
                }
            }
            CostConfig::Header {
                header,
                default,
                min,
                max,
            } => {
                if !is_header_name(header) {
                    report("cost/header", &format!("\"{header}\" is no header name"));
                }
                let max = max.unwrap_or(most);
                if !(1..=most).contains(&max) {
                    report("cost/max", "must be 1 to `burst`: more could never pass");
                } else if *min > max {
                    report("cost/min", "must be at most `max`");
                } else if !(*min..=max).contains(default) {
                    report("cost/default", "must be `min` to `max`");
                }
            }
        }
    }

    pub(super) fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.rate.min(MAX_DEFAULT_BURST))
    }

    fn rate(&self) -> Rate {
        Rate::new(self.rate, self.per.as_micros(), self.burst())
    }

    fn cost(&self) -> Cost {
        match &self.cost {
            CostConfig::Fixed(cost) => Cost::Fixed(*cost),
            CostConfig::Header {
                header,
                default,
                min,
                max,
            } => Cost::Header(HeaderCost {
                name: header.to_ascii_lowercase(),
                default: *default,
                min: *min,
                max: max.unwrap_or(self.burst()),
            }),
        }
    }
}

impl From<&LimitConfig> for Limit {
    fn from(config: &LimitConfig) -> Self {
        Self {
            name: config.name.clone(),
            rate: config.rate(),
            requests: config.rate,
            per_seconds: config.per.as_millis() / 1_000,
            burst: config.burst(),
            key: config.key.selectors(),
            cost: config.cost(),
            lease: config.lease.unwrap_or(0),
            is_shadow: config.shadow,
        }
    }
}

fn one() -> u32 {
    1
}

/// A token (RFC 9110, 5.6.2).
fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(token)
}
