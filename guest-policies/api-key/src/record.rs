//! What is known of a key: its name, and whether it still counts.

use serde::Deserialize;

use crate::moment;

/// Of a name: it stands in headers, logs and metrics' labels of others.
const MAX_NAME: usize = 128;

/// A key's name and terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who has it.
    pub name: String,
    /// Whether it was taken back.
    pub disabled: bool,
    /// From when on it counts no more, in seconds since 1970.
    pub expires: Option<u64>,
}

/// Whether a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// It was taken back.
    Disabled,
    /// Its time is over.
    Expired,
}

impl Record {
    /// From a line's name and attributes: `disabled`, `expires=2026-12-31`.
    ///
    /// # Errors
    ///
    /// Which word is not understood: a key whose terms are not clear is none.
    pub fn from_words<'a>(
        name: &str,
        attributes: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut record = Self {
            name: checked(name)?,
            disabled: false,
            expires: None,
        };
        for attribute in attributes {
            match attribute.split_once('=') {
                None if attribute == "disabled" => record.disabled = true,
                Some(("expires", moment)) => record.expires = Some(parsed(moment)?),
                _ => {
                    return Err(format!(
                        "has an unknown attribute \"{attribute}\": disabled and expires=DATE are known"
                    ));
                }
            }
        }
        Ok(record)
    }

    /// From JSON: `{ "name": "…", "disabled": false, "expires": "2026-12-31" }`, where the last two may be missing.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Value {
            name: String,
            #[serde(default)]
            disabled: bool,
            expires: Option<Moment>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Moment {
            Seconds(u64),
            Text(String),
        }
        let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        Ok(Self {
            name: checked(&value.name)?,
            disabled: value.disabled,
            expires: match value.expires {
                None => None,
                Some(Moment::Seconds(seconds)) => Some(seconds),
                Some(Moment::Text(text)) => Some(parsed(&text)?),
            },
        })
    }

    /// Whether the key counts at `now`, in seconds since 1970.
    pub fn standing(&self, now: u64) -> Standing {
        if self.disabled {
            Standing::Disabled
        } else if self.expires.is_some_and(|expires| now >= expires) {
            Standing::Expired
        } else {
            Standing::Good
        }
    }
}

fn checked(name: &str) -> Result<String, String> {
    let may_stand = |byte: u8| byte.is_ascii_graphic();
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(may_stand) {
        Ok(name.to_owned())
    } else {
        Err("has no name of 1 to 128 printable ASCII characters without spaces".to_owned())
    }
}

fn parsed(text: &str) -> Result<u64, String> {
    moment::parse(text).ok_or_else(|| {
        format!("expires at \"{text}\", which is no moment: write 2026-12-31, 2026-12-31T12:00:00Z or seconds since 1970")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Record, String> {
        Record::from_json(text.as_bytes())
    }

    #[test]
    fn a_key_counts_until_it_is_taken_back_or_its_time_is_over() {
        let record = Record::from_words("alice", ["expires=1970-01-02"].into_iter()).unwrap();
        assert_eq!(record.standing(86_399), Standing::Good);
        assert_eq!(record.standing(86_400), Standing::Expired);
        let record = Record::from_words("alice", ["expires=0", "disabled"].into_iter()).unwrap();
        assert_eq!(record.standing(5), Standing::Disabled);
    }

    #[test]
    fn json_says_the_same() {
        let record = json(r#"{"name":"a","disabled":true,"expires":7}"#).unwrap();
        assert_eq!((record.disabled, record.expires), (true, Some(7)));
        let record = json(r#"{"name":"a","expires":"1970-01-02"}"#).unwrap();
        assert_eq!((record.disabled, record.expires), (false, Some(86_400)));
        assert_eq!(json(r#"{"name":"a"}"#).unwrap().expires, None);
    }

    #[test]
    fn terms_that_are_not_understood_are_refused() {
        for attribute in [
            "disable",
            "expires",
            "expires=soon",
            "disabled=no",
            "scope=x",
        ] {
            assert!(
                Record::from_words("a", [attribute].into_iter()).is_err(),
                "{attribute}"
            );
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"name":""}"#,
            r#"{"name":"a b"}"#,
            r#"{"name":"a\u0000"}"#,
            r#"{"name":"ä"}"#,
            r#"{"name":"a","disable":true}"#,
            r#"{"name":"a","expires":"soon"}"#,
            r#"{"name":"a","expires":-1}"#,
        ] {
            assert!(json(text).is_err(), "{text}");
        }
        assert!(json(&format!(r#"{{"name":"{}"}}"#, "a".repeat(129))).is_err());
    }
}
