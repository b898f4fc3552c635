//! Values with their unit in the text: durations (`250ms`) and sizes (`16MiB`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Largest first, so that `Display` picks the shortest exact text.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A duration of whole milliseconds as the config writes it: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub(crate) Duration);

/// A size in bytes as the config writes it: a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(pub(crate) u64);

/// The text has no known unit, no whole number, or is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct UnitError(&'static str);

impl DurationText {
    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl SizeText {
    /// Bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &DURATION_UNITS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or(UnitError("a duration such as 250ms, 5s or 1m"))
    }
}

impl FromStr for SizeText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS)
            .map(Self)
            .ok_or(UnitError("a size such as 64KiB, 16MiB or 1GiB"))
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write_shortest(f, millis, &DURATION_UNITS, "0s")
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shortest(f, self.0, &SIZE_UNITS, "0B")
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SizeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration",
            "description": "A whole number and its unit: ms, s, m or h.",
            "type": "string",
            "pattern": "^[0-9]{1,15}(ms|s|m|h)$",
            "examples": ["250ms", "5s", "1m"],
        })
    }
}

impl JsonSchema for SizeText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size",
            "description": "A whole number and its unit: B, KiB, MiB or GiB.",
            "type": "string",
            "pattern": "^[0-9]{1,15}(B|KiB|MiB|GiB)$",
            "examples": ["64KiB", "16MiB", "1GiB"],
        })
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write_shortest(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&str, u64)],
    zero: &str,
) -> fmt::Result {
    let exact = units
        .iter()
        .find(|(_, factor)| value.is_multiple_of(*factor));
    match exact {
        Some((unit, factor)) if value > 0 => write!(f, "{}{unit}", value / factor),
        _ => f.write_str(zero),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        let table = [
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("1500ms", 1_500, "1500ms"),
            ("5s", 5_000, "5s"),
            ("60s", 60_000, "1m"),
            ("90m", 5_400_000, "90m"),
            ("2h", 7_200_000, "2h"),
        ];
        for (text, millis, printed) in table {
            let duration: DurationText = text.parse().unwrap();
            assert_eq!(duration.0, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), printed);
            assert_eq!(printed.parse(), Ok(duration));
        }
    }

    #[test]
    fn sizes_read_and_print() {
        let table = [
            ("0B", 0, "0B"),
            ("1000B", 1_000, "1000B"),
            ("1024B", 1_024, "1KiB"),
            ("64KiB", 65_536, "64KiB"),
            ("1024MiB", 1 << 30, "1GiB"),
        ];
        for (text, bytes, printed) in table {
            let size: SizeText = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), printed);
            assert_eq!(printed.parse(), Ok(size));
        }
    }

    #[test]
    fn every_number_of_units_survives_a_round_trip() {
        for value in (0..200_000).step_by(37).chain([u64::MAX / 1_000]) {
            let duration = DurationText(Duration::from_millis(value));
            assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = SizeText(value);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let texts = [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "+5s",
            "0.5s",
            "1m30s",
            "5S",
            "5sec",
            "5us",
            "٥s",
            "999999999999999999999s",
            "99999999999999999h",
        ];
        for text in texts {
            assert!(text.parse::<DurationText>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "16",
            "16MB",
            "16mib",
            "16 MiB",
            "1.5GiB",
            "99999999999GiB",
        ] {
            assert!(text.parse::<SizeText>().is_err(), "{text:?}");
        }
    }
}
