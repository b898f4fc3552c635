//! Moments as configs write them and as fields tell them.

use std::borrow::Cow;

use portcullis_sdk::{schemars, serde};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, read from RFC 3339 with its offset from UTC: `2026-01-31T22:00:00Z`, `2026-01-31T23:00:00+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// Reads it; not before 1970, which no clock of the gateway tells.
    ///
    /// # Errors
    ///
    /// A message with the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .filter(|moment| moment.unix_timestamp() >= 0);
        moment.map(Self).ok_or_else(|| format!("{text:?} is no moment: write 2026-01-31T22:00:00Z, or with an offset such as +01:00"))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn unix_us(self) -> u64 {
        u64::try_from(self.0.unix_timestamp_nanos() / 1_000).unwrap_or(0)
    }

    /// As fields such as `Retry-After` have it (RFC 9110 §5.6.7), in whole seconds, rounded up: nobody comes back too early.
    pub fn http_date(self) -> String {
        let seconds = self.unix_us().div_ceil(1_000_000);
        let utc = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let utc = utc.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let short = |name: String| name.get(..3).unwrap_or_default().to_owned();
        format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            short(utc.weekday().to_string()),
            utc.day(),
            short(utc.month().to_string()),
            utc.year(),
            utc.hour(),
            utc.minute(),
            utc.second()
        )
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2026-01-31T22:00:00Z", "2026-01-31T23:00:00+01:00"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The date of RFC 9110 §5.6.7.
    #[test]
    fn dates_are_those_of_rfc_9110() {
        let moment = Moment::parse("1994-11-06T08:49:37Z").unwrap();
        assert_eq!(moment.http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(moment.unix_us(), 784_111_777_000_000);
        assert_eq!(
            Moment::parse("1994-11-06T09:49:37+01:00")
                .unwrap()
                .http_date(),
            moment.http_date()
        );
        assert_eq!(
            Moment::parse("1994-11-06T08:49:36.5Z").unwrap().http_date(),
            moment.http_date()
        );
        assert_eq!(
            Moment::parse("2028-02-29T23:59:59.000001Z")
                .unwrap()
                .http_date(),
            "Wed, 01 Mar 2028 00:00:00 GMT"
        );
        assert_eq!(
            Moment::parse("9999-12-31T23:59:59.9Z").unwrap().http_date(),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
    }

    #[test]
    fn other_forms_are_refused_with_the_right_one() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T22:00:00",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "tomorrow",
            "1767225600",
        ] {
            assert!(
                Moment::parse(text)
                    .unwrap_err()
                    .contains("write 2026-01-31T22:00:00Z"),
                "{text}"
            );
        }
    }
}
