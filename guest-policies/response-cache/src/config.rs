//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::freshness::Lifetimes;
use crate::key::QueryRules;
use crate::request::RequestRules;
use crate::store::Store;

/// The largest body that can be kept: a call of the contract takes 4 MiB.
const MAX_BODY_BYTES: u32 = 4 << 20;
/// The longest time in a store: 30 days, which its milliseconds can hold.
const MAX_KEPT_S: u64 = 30 * 24 * 3_600;

/// A shared cache by RFC 9111.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where responses are kept: `kv`, in this gateway process, or `redis`, for all gateways with the binding.
    pub store: StoreName,
    /// The largest body that is kept, in bytes: 1 to 4194304. The use's `limits.body` bounds it as well.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub max_body_bytes: u32,
    /// The lifetime of responses that name none: `0s` to `720h`.
    pub default_ttl: Duration,
    /// The longest lifetime, whatever a response says: `1s` to `720h`.
    pub max_ttl: Duration,
    /// The lifetime of responses that name none and say when they were modified.
    #[schemars(with = "Heuristic")]
    pub heuristic: Option<Heuristic>,
    /// How long a stale response stays, to be asked for on condition: `0s` to `720h`.
    pub keep_stale: Duration,
    /// How long after its lifetime a response is sent where the upstream fails, if it says nothing of it: `0s` to `720h`.
    pub stale_if_error: Duration,
    /// Requests with cookies: `bypass` sends them to the upstream, `cache` takes them like others.
    pub requests_with_cookies: Cookies,
    /// Request fields that say who asks, beside `authorization`: responses to such requests are kept only where they say that they are for all.
    pub credentials: Vec<String>,
    /// What clients say in `Cache-Control`: `honour` or `ignore`.
    pub request_directives: RequestDirectives,
    /// Requests with this field go to the upstream, and their responses are not kept.
    pub bypass_header: Option<String>,
    /// Which parameters of the query tell resources apart.
    pub query: Query,
}

/// A part of the time for which a response had not been modified (RFC 9111 §4.2.2).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heuristic {
    /// Percent of the time from `Last-Modified` to `Date`: 1 to 100. The RFC's typical value is 10.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u64,
    /// The longest lifetime that this gives.
    #[serde(default = "default_cap")]
    pub cap: Duration,
}

/// Which parameters of the query tell resources apart: all, as they are written, unless this says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// These alone; `[]` for none.
    pub keep: Option<Vec<String>>,
    /// All but these, such as `utm_source`.
    pub drop: Vec<String>,
    /// In whatever order they come.
    pub sort: bool,
}

/// Where responses are kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreName {
    /// The gateway's memory.
    #[default]
    Kv,
    /// Redis.
    Redis,
}

/// What becomes of requests with cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cookies {
    /// They go to the upstream.
    #[default]
    Bypass,
    /// They are taken like others.
    Cache,
}

/// What becomes of a request's directives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestDirectives {
    /// They count.
    #[default]
    Honour,
    /// They are passed over.
    Ignore,
}

fn default_cap() -> Duration {
    Duration::from_secs(24 * 3_600)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreName::Kv,
            max_body_bytes: 1 << 20,
            default_ttl: Duration::from_secs(0),
            max_ttl: Duration::from_secs(24 * 3_600),
            heuristic: None,
            keep_stale: Duration::from_secs(3_600),
            stale_if_error: Duration::from_secs(0),
            requests_with_cookies: Cookies::Bypass,
            credentials: vec!["x-api-key".to_owned()],
            request_directives: RequestDirectives::Honour,
            bypass_header: None,
            query: Query::default(),
        }
    }
}

impl Config {
    /// All problems, each with its place.
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if !(1..=MAX_BODY_BYTES).contains(&self.max_body_bytes) {
            report("/max_body_bytes", "must be 1 to 4194304");
        }
        for (path, duration, least_s) in [
            ("/default_ttl", self.default_ttl, 0),
            ("/max_ttl", self.max_ttl, 1),
            ("/keep_stale", self.keep_stale, 0),
            ("/stale_if_error", self.stale_if_error, 0),
        ] {
            if !(least_s..=MAX_KEPT_S).contains(&seconds(duration)) {
                report(
                    path,
                    if least_s == 0 {
                        "must be 0s to 720h"
                    } else {
                        "must be 1s to 720h"
                    },
                );
            }
        }
        self.check_requests(&mut report);
        problems
    }

    fn check_requests(&self, report: &mut impl FnMut(&str, &str)) {
        if self
            .heuristic
            .as_ref()
            .is_some_and(|heuristic| !(1..=100).contains(&heuristic.percent))
        {
            report("/heuristic/percent", "must be 1 to 100");
        }
        if self.query.keep.is_some() && !self.query.drop.is_empty() {
            report(
                "/query",
                "must have keep or drop, not both: keep leaves out all that it does not name",
            );
        }
        if self
            .bypass_header
            .as_ref()
            .is_some_and(|name| !is_name(name))
        {
            report(
                "/bypass_header",
                "must be the name of a field, such as x-cache-bypass",
            );
        }
        for (i, name) in self.credentials.iter().enumerate() {
            if !is_name(name) {
                report(
                    &format!("/credentials/{i}"),
                    "must be the name of a field, such as x-api-key",
                );
            }
        }
    }

    /// What it says about lifetimes.
    pub fn lifetimes(&self) -> Lifetimes {
        let heuristic = self.heuristic.as_ref();
        Lifetimes {
            default_s: seconds(self.default_ttl),
            heuristic_percent: heuristic.map_or(0, |heuristic| heuristic.percent),
            heuristic_cap_s: heuristic.map_or(0, |heuristic| seconds(heuristic.cap)),
            max_s: seconds(self.max_ttl),
            stale_if_error_s: seconds(self.stale_if_error),
        }
    }

    /// What it says about requests.
    pub fn request_rules(&self) -> RequestRules {
        let lower = |name: &String| name.to_ascii_lowercase();
        RequestRules {
            with_cookies: self.requests_with_cookies == Cookies::Cache,
            ignore_directives: self.request_directives == RequestDirectives::Ignore,
            bypass_header: self.bypass_header.as_ref().map(lower),
            credentials: self.credentials.iter().map(lower).collect(),
        }
    }

    /// What it says about queries.
    pub fn query_rules(&self) -> QueryRules {
        QueryRules {
            keep: self.query.keep.clone(),
            drop: self.query.drop.clone(),
            sort: self.query.sort,
        }
    }

    /// The store that it names.
    pub fn store(&self) -> Store {
        match self.store {
            StoreName::Kv => Store::Kv,
            StoreName::Redis => Store::Redis,
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_millis() / 1_000
}

/// A token (RFC 9110 §5.6.2).
fn is_name(name: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn everything_has_a_default() {
        let config = config(json!({}));
        assert!(config.check().is_empty());
        assert_eq!(config.store(), Store::Kv);
        assert_eq!(config.lifetimes().default_s, 0);
        assert_eq!(config.lifetimes().max_s, 86_400);
        assert_eq!(config.request_rules().credentials, ["x-api-key"]);
    }

    #[test]
    fn each_problem_names_its_place() {
        for (value, place) in [
            (json!({ "max_body_bytes": 0 }), "/max_body_bytes"),
            (json!({ "max_body_bytes": 4_194_305 }), "/max_body_bytes"),
            (json!({ "default_ttl": "721h" }), "/default_ttl"),
            (json!({ "max_ttl": "0s" }), "/max_ttl"),
            (json!({ "keep_stale": "721h" }), "/keep_stale"),
            (json!({ "stale_if_error": "721h" }), "/stale_if_error"),
            (
                json!({ "heuristic": { "percent": 0 } }),
                "/heuristic/percent",
            ),
            (
                json!({ "heuristic": { "percent": 101 } }),
                "/heuristic/percent",
            ),
            (
                json!({ "query": { "keep": ["a"], "drop": ["b"] } }),
                "/query",
            ),
            (json!({ "bypass_header": "x y" }), "/bypass_header"),
            (json!({ "credentials": ["x-user", ""] }), "/credentials/1"),
        ] {
            let problems = config(value.clone()).check();
            let places: Vec<_> = problems
                .iter()
                .map(|problem| problem.path.as_str())
                .collect();
            assert_eq!(places, [place], "{value}");
        }
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
