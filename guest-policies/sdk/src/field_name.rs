//! Names of header fields as configs write them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Longer names are no field's.
const MAX_BYTES: usize = 128;

/// The name of a header field, read from a config: a token (RFC 9110 §5.6.2) of 1 to 128 bytes, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(String);

impl FieldName {
    /// Reads a name in any case.
    ///
    /// # Errors
    ///
    /// A message that tells what a name is made of.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_token) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!(
            "{text:?} is no field name: write 1 to {MAX_BYTES} letters, digits and characters such as \"-\""
        ))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Why the gateway refuses each edit of this field; `None` for one that policies may edit.
    pub fn reserved(&self) -> Option<&'static str> {
        match self.as_str() {
            "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade" => {
                Some("concerns one connection only (RFC 9110, 7.6.1) and is the gateway's")
            }
            "content-length" => Some("follows from the body, and is the gateway's"),
            "host" => Some("is the gateway's: use the route's `rewrite: { host: … }`"),
            _ => None,
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for FieldName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FieldName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": MAX_BYTES, "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "examples": ["x-api-key"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(
            FieldName::parse("X-Api_Key").map(|name| name.to_string()),
            Ok("x-api_key".to_owned())
        );
        for text in ["", " a", "a:", ":path", "ä", "a\r\nb", &"a".repeat(129)] {
            let error = FieldName::parse(text).expect_err(text);
            assert!(error.contains("is no field name"), "{error}");
        }
        let error = serde_json::from_str::<FieldName>("\"a b\"").expect_err("a space");
        assert!(
            error.to_string().contains("\"a b\" is no field name"),
            "{error}"
        );
    }

    #[test]
    fn fields_of_the_gateway_have_a_reason() {
        for name in [
            "Connection",
            "TE",
            "trailer",
            "Content-Length",
            "host",
            "upgrade",
        ] {
            assert!(
                FieldName::parse(name).is_ok_and(|name| name.reserved().is_some()),
                "{name}"
            );
        }
        assert!(FieldName::parse("set-cookie").is_ok_and(|name| name.reserved().is_none()));
    }
}
