//! Statuses as configs write them: `404`, `2xx`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// One status, or a class of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a status such as 404, or a class such as 2xx"
)]
pub enum StatusWord {
    /// A status.
    Status(u16),
    /// A class, or a status as text.
    Text(String),
}

/// One schema for both forms, without `anyOf`, so that a problem says what is expected.
impl JsonSchema for StatusWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusWord".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"], "minimum": 200, "maximum": 599, "pattern": "^[2-5](xx|[0-9][0-9])$", "examples": ["2xx", 404],
        })
    }
}

/// Which responses are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<std::ops::RangeInclusive<u16>>);

impl StatusSet {
    /// Reads the words.
    ///
    /// # Errors
    ///
    /// The place of the first that is none.
    pub fn parse(words: &[StatusWord]) -> Result<Self, usize> {
        let ranges = words
            .iter()
            .enumerate()
            .map(|(i, word)| range(word).ok_or(i));
        ranges.collect::<Result<_, _>>().map(Self)
    }

    /// Whether that status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(word: &StatusWord) -> Option<std::ops::RangeInclusive<u16>> {
    let status = match word {
        StatusWord::Status(status) => *status,
        StatusWord::Text(text) => match text.strip_suffix("xx") {
            Some(class @ ("2" | "3" | "4" | "5")) => {
                let first = class.parse::<u16>().ok()? * 100;
                return Some(first..=first + 99);
            }
            Some(_) => return None,
            None => text.parse().ok()?,
        },
    };
    (200..600).contains(&status).then_some(status..=status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_classes_are_told_apart() {
        let words = [
            StatusWord::Text("2xx".to_owned()),
            StatusWord::Status(404),
            StatusWord::Text("503".to_owned()),
        ];
        let set = StatusSet::parse(&words).unwrap();
        for (status, expected) in [
            (200, true),
            (299, true),
            (300, false),
            (404, true),
            (403, false),
            (503, true),
            (500, false),
        ] {
            assert_eq!(set.contains(status), expected, "{status}");
        }
    }

    #[test]
    fn anything_else_has_a_place() {
        for text in ["1xx", "6xx", "xx", "2x", "99", "600", "", "-5", "ok"] {
            let words = [StatusWord::Status(200), StatusWord::Text(text.to_owned())];
            assert_eq!(StatusSet::parse(&words), Err(1), "{text}");
        }
        assert_eq!(StatusSet::parse(&[StatusWord::Status(600)]), Err(0));
    }
}
