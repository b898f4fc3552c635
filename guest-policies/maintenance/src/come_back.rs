//! When callers may come back, as configs write it.

use std::borrow::Cow;

use portcullis_sdk::{Duration, schemars, serde};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A time such as `5m`, or `until`: the end of the maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComeBack {
    /// After this time.
    After(Duration),
    /// At the moment `until`.
    Until,
}

impl<'de> Deserialize<'de> for ComeBack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match &*text {
            "until" => Ok(Self::Until),
            text => text
                .parse()
                .map(Self::After)
                .map_err(|error| de::Error::custom(format!("{error}, or until"))),
        }
    }
}

/// One schema for both forms, without `anyOf`, so that a problem says what is expected.
impl JsonSchema for ComeBack {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ComeBack".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(until|[0-9]+(ms|s|m|h))$", "examples": ["5m", "until"] })
    }
}

#[cfg(test)]
mod tests {
    use portcullis_sdk::serde_json;

    use super::*;

    #[test]
    fn times_and_the_word_are_read() {
        let read = |text| serde_json::from_str::<ComeBack>(text);
        assert_eq!(
            read("\"5m\"").unwrap(),
            ComeBack::After(Duration::from_secs(300))
        );
        assert_eq!(read("\"until\"").unwrap(), ComeBack::Until);
        assert!(
            read("\"later\"")
                .unwrap_err()
                .to_string()
                .contains(", or until")
        );
    }
}
