//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::backoff;
use crate::condition::{Condition, Conditions};
use crate::decide::Rules;

/// More tries multiply an outage's load by more than a backoff can spread.
const MAX_ATTEMPTS: u32 = 10;
/// The longest delay between two attempts: a caller rarely waits longer, and the deadline is often shorter.
const MAX_DELAY_MS: u64 = 60_000;

/// When a failed attempt is followed by another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Tries in all, the first included: 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// Outcomes that are worth another attempt: `connect_failure`, `reset`, `timeout`, `gateway_errors` (502, 503, 504),
    /// `4xx`, `5xx`, a status from 400 to 599, or a gRPC status in the response's head: `grpc_cancelled`, `grpc_unknown`,
    /// `grpc_deadline_exceeded`, `grpc_resource_exhausted`, `grpc_aborted`, `grpc_internal`, `grpc_unavailable`.
    #[schemars(length(min = 1))]
    pub on: Vec<Word>,
    /// A response of status 400 to 599 with this field is worth another attempt too, whatever `on` says.
    #[schemars(with = "Mark")]
    pub on_header: Option<Mark>,
    /// How long to wait before another attempt.
    pub backoff: Backoff,
    /// A response with a longer `Retry-After` is delivered instead of waited for; `0s` to `60s`.
    pub retry_after_cap: Duration,
    /// Prefer another endpoint of the upstream for the next attempt.
    pub other_endpoint: bool,
    /// Timeout of each further attempt. Without it, the upstream's.
    pub attempt_timeout: Option<Duration>,
}

/// A field by which an upstream says that another attempt may succeed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The field's name, such as `x-retry`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub name: String,
    /// The value that its first line must have, in any case of letters; without it, any value.
    pub value: Option<String>,
}

/// How long to wait before another attempt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    /// `full`: after attempt n random between 0 and the lesser of `cap` and `base` × 2^(n-1). `decorrelated`: the lesser of
    /// `cap` and what is random between `base` and three times the delay before.
    pub jitter: Jitter,
    /// `full`: upper end of the first delay; `decorrelated`: lower end of every one. At least `1ms`.
    pub base: Duration,
    /// Upper end of every delay; `base` to `60s`.
    pub cap: Duration,
}

/// How delays are spread.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Between 0 and a window that doubles.
    #[default]
    Full,
    /// Between `base` and three times the delay before.
    Decorrelated,
}

/// One outcome, by name or by status.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected connect_failure, reset, timeout, gateway_errors, 4xx, 5xx, a status or a gRPC status such as grpc_unavailable"
)]
pub enum Word {
    /// A status.
    Status(#[schemars(range(min = 400, max = 599))] u16),
    /// A name, or a status as text.
    Text(
        #[schemars(regex(
            pattern = r"^(connect_failure|reset|timeout|gateway_errors|[45]xx|[45][0-9][0-9]|grpc_(cancelled|unknown|deadline_exceeded|resource_exhausted|aborted|internal|unavailable))$"
        ))]
        String,
    ),
}

impl Default for Config {
    fn default() -> Self {
        let words = ["connect_failure", "reset", "gateway_errors"];
        Self {
            attempts: 3,
            on: words
                .into_iter()
                .map(|word| Word::Text(word.to_owned()))
                .collect(),
            on_header: None,
            backoff: Backoff::default(),
            retry_after_cap: Duration::from_secs(10),
            other_endpoint: true,
            attempt_timeout: None,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            jitter: Jitter::Full,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(1),
        }
    }
}

impl Word {
    fn condition(&self) -> Option<Condition> {
        match self {
            Self::Status(status) => Condition::status(*status),
            Self::Text(word) => Condition::parse(word),
        }
    }
}

impl Backoff {
    fn check(&self, report: &mut impl FnMut(String, &str)) {
        let (base_ms, cap_ms) = (self.base.as_millis(), self.cap.as_millis());
        if base_ms == 0 {
            report("/backoff/base".to_owned(), "must be at least 1ms");
        }
        if !(base_ms..=MAX_DELAY_MS).contains(&cap_ms) {
            report(
                "/backoff/cap".to_owned(),
                "must be from backoff.base to 60s",
            );
        }
    }
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn rules(&self) -> Result<Rules, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: String, message: &str| problems.push(ConfigProblem::new(path, message));
        if !(1..=MAX_ATTEMPTS).contains(&self.attempts) {
            report("/attempts".to_owned(), "must be 1 to 10");
        }
        self.check_outcomes(&mut report);
        self.backoff.check(&mut report);
        if self.retry_after_cap.as_millis() > MAX_DELAY_MS {
            report("/retry_after_cap".to_owned(), "must be at most 60s");
        }
        if self
            .attempt_timeout
            .is_some_and(|timeout| timeout.as_millis() == 0)
        {
            report("/attempt_timeout".to_owned(), "must be at least 1ms");
        }
        if problems.is_empty() {
            Ok(self.checked_rules())
        } else {
            Err(problems)
        }
    }

    fn check_outcomes(&self, report: &mut impl FnMut(String, &str)) {
        if self.on.is_empty() {
            report("/on".to_owned(), "must name an outcome");
        }
        for (i, word) in self.on.iter().enumerate() {
            if word.condition().is_none() {
                let message = "must be connect_failure, reset, timeout, gateway_errors, 4xx, 5xx, a status from 400 to 599, or a gRPC status such as grpc_unavailable";
                report(format!("/on/{i}"), message);
            }
        }
        if self
            .on_header
            .as_ref()
            .is_some_and(|mark| !is_name(&mark.name))
        {
            report(
                "/on_header/name".to_owned(),
                "must be the name of a field, such as x-retry",
            );
        }
    }

    fn checked_rules(&self) -> Rules {
        Rules {
            attempts: self.attempts,
            on: self
                .on
                .iter()
                .filter_map(Word::condition)
                .collect::<Conditions>(),
            backoff: backoff::Backoff {
                jitter: match self.backoff.jitter {
                    Jitter::Full => backoff::Jitter::Full,
                    Jitter::Decorrelated => backoff::Jitter::Decorrelated,
                },
                base_ms: self.backoff.base.as_millis_u32(),
                cap_ms: self.backoff.cap.as_millis_u32(),
            },
            retry_after_cap_ms: self.retry_after_cap.as_millis_u32(),
        }
    }
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
    use crate::condition::{Failure, Outcome};

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn everything_has_a_default() {
        let rules = config(json!({})).rules().unwrap();
        assert_eq!(
            (
                rules.attempts,
                rules.backoff.base_ms,
                rules.backoff.cap_ms,
                rules.retry_after_cap_ms
            ),
            (3, 50, 1_000, 10_000)
        );
        for (outcome, expected) in [
            (Outcome::Failed(Failure::Connect), true),
            (Outcome::Failed(Failure::Reset), true),
            (Outcome::Failed(Failure::Timeout), false),
            (Outcome::Status(503), true),
            (Outcome::Status(500), false),
            (Outcome::Status(429), false),
        ] {
            assert_eq!(rules.on.hold(outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn the_documented_example_is_read_and_a_part_of_backoff_may_be_left_out() {
        let config = config(json!({
            "attempts": 3, "on": ["connect_failure", "reset", "502", 503, "504"], "backoff": { "cap": "2s" },
            "attempt_timeout": "1s", "other_endpoint": false,
        }));
        let rules = config.rules().unwrap();
        assert!(rules.on.hold(Outcome::Status(503)) && !rules.on.hold(Outcome::Status(501)));
        assert_eq!((rules.backoff.base_ms, rules.backoff.cap_ms), (50, 2_000));
        assert_eq!(rules.backoff.jitter, backoff::Jitter::Full);
    }

    #[test]
    fn each_problem_names_its_place() {
        for (value, place) in [
            (json!({ "attempts": 0 }), "/attempts"),
            (json!({ "attempts": 11 }), "/attempts"),
            (json!({ "on": [] }), "/on"),
            (json!({ "on": ["reset", "200"] }), "/on/1"),
            (json!({ "on": [600] }), "/on/0"),
            (json!({ "on": ["retriable"] }), "/on/0"),
            (json!({ "on_header": { "name": "" } }), "/on_header/name"),
            (
                json!({ "on_header": { "name": "x retry" } }),
                "/on_header/name",
            ),
            (json!({ "backoff": { "base": "0ms" } }), "/backoff/base"),
            (json!({ "backoff": { "base": "2s" } }), "/backoff/cap"),
            (json!({ "backoff": { "cap": "61s" } }), "/backoff/cap"),
            (json!({ "retry_after_cap": "61s" }), "/retry_after_cap"),
            (json!({ "attempt_timeout": "0s" }), "/attempt_timeout"),
        ] {
            let problems = config(value.clone()).rules().unwrap_err();
            assert_eq!(
                problems
                    .iter()
                    .map(|problem| problem.path.as_str())
                    .collect::<Vec<_>>(),
                [place],
                "{value}"
            );
        }
    }

    #[test]
    fn unknown_keys_and_types_are_refused() {
        for (value, message) in [
            (json!({ "retries": 3 }), "unknown field `retries`"),
            (
                json!({ "backoff": { "factor": 3 } }),
                "unknown field `factor`",
            ),
            (json!({ "on": [true] }), "expected connect_failure, reset"),
            (
                json!({ "backoff": { "jitter": "equal" } }),
                "unknown variant `equal`",
            ),
            (json!({ "on_header": {} }), "missing field `name`"),
        ] {
            let error = serde_json::from_value::<Config>(value)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        for field in [
            "attempts",
            "on",
            "on_header",
            "backoff",
            "retry_after_cap",
            "other_endpoint",
            "attempt_timeout",
        ] {
            assert!(
                schema["properties"][field]["description"].is_string(),
                "{schema}"
            );
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
