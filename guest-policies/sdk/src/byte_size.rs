//! A number of bytes as configs write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A number of bytes, read from a whole number with a unit: `512B`, `64KiB`, `1MiB`, `1GiB`; powers of 1,024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize {
    bytes: u64,
}

/// Bytes in each unit. `B` comes last, which all end with.
const UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.bytes
    }
}

/// A text is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseByteSizeError(String);

impl fmt::Display for ParseByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no size: write a whole number and B, KiB, MiB or GiB, such as \"64KiB\"",
            self.0
        )
    }
}

impl std::error::Error for ParseByteSizeError {}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (number, unit) = UNITS
                .iter()
                .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
            // u64's own parser takes a leading "+".
            number
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(())?;
            number.parse::<u64>().ok()?.checked_mul(*unit)
        };
        read()
            .map(Self::from_bytes)
            .ok_or_else(|| ParseByteSizeError(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that holds it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |&&(_, bytes): &&(&str, u64)| self.bytes > 0 && self.bytes.is_multiple_of(bytes);
        let (unit, bytes) = UNITS[..3].iter().rev().find(whole).unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", self.bytes / bytes)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512B\", \"64KiB\" or \"1MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+([KMG]i)?B$", "examples": ["64KiB", "1MiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::from_bytes(bytes)), "{text}");
            assert_eq!(ByteSize::from_bytes(bytes).to_string(), text);
        }
        assert_eq!(ByteSize::from_bytes(1_025).to_string(), "1025B");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "KiB",
            "1KB",
            "1kib",
            "-1B",
            "+1B",
            "1.5KiB",
            "1 B",
            "99999999999999999999B",
            "18446744073709551615KiB",
        ] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains("is no size"), "{error}");
        }
        let error = serde_json::from_str::<ByteSize>("5")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a size such as \"512B\""),
            "{error}"
        );
    }
}
