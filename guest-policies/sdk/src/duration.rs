//! A span of time as configs write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A span of time, read from a whole number with a unit: `250ms`, `5s`, `1m`, `1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    millis: u64,
}

/// Milliseconds in each unit. `ms` comes before `s` and `m`, which it ends and starts with.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl Duration {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self {
            millis: secs.saturating_mul(1_000),
        }
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// In microseconds, as [`clock`](crate::clock) counts.
    pub const fn as_micros(self) -> u64 {
        self.millis.saturating_mul(1_000)
    }

    /// In milliseconds as the contract's records hold them; the longest is 49 days.
    pub const fn as_millis_u32(self) -> u32 {
        if self.millis > u32::MAX as u64 {
            u32::MAX
        } else {
            self.millis as u32
        }
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.millis)
    }
}

/// A text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDurationError(String);

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no duration: write a whole number and ms, s, m or h, such as \"250ms\"",
            self.0
        )
    }
}

impl std::error::Error for ParseDurationError {}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number_and_unit = |&(unit, millis)| {
            let number = text.strip_suffix(unit)?;
            // u64's own parser takes a leading "+".
            number
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(())?;
            number.parse::<u64>().ok()?.checked_mul(millis)
        };
        UNITS
            .iter()
            .find_map(number_and_unit)
            .map(Self::from_millis)
            .ok_or_else(|| ParseDurationError(text.to_owned()))
    }
}

impl fmt::Display for Duration {
    /// In the largest unit that holds it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |&&(_, millis): &&(&str, u64)| self.millis > 0 && self.millis.is_multiple_of(millis);
        let (unit, millis) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.millis / millis)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"250ms\", \"5s\", \"1m\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["250ms", "5s"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("1m", 60_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(Duration::from_secs(2).as_micros(), 2_000_000);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "ms",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            "1d",
            "1S",
            "9999999999999999999s",
            "18446744073709551615h",
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("\"{text}\" is no duration")),
                "{error}"
            );
        }
    }

    #[test]
    fn json_number_is_refused_with_an_example() {
        let error = serde_json::from_str::<Duration>("5")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a duration such as \"250ms\""),
            "{error}"
        );
    }

    #[test]
    fn display_takes_the_largest_exact_unit() {
        for text in ["0ms", "250ms", "90s", "1m", "25h"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn contract_milliseconds_are_clamped() {
        assert_eq!(Duration::from_secs(u64::MAX).as_millis_u32(), u32::MAX);
        assert_eq!(Duration::from_secs(1).as_millis_u32(), 1_000);
    }
}
