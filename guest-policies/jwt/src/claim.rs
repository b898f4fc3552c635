//! A claim by its place, and how it stands in a header.

use serde_json::{Map, Value};

/// Bytes of a claim in a header. Twelve headers of it stay below the gateway's bound of what a hook may edit.
pub const MAX_VALUE: usize = 4 << 10;

/// Where a claim is: a name, such as `sub` or `https://example.com/roles`, or a JSON Pointer (RFC 6901) that begins
/// with `/`, such as `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// From a config.
    ///
    /// # Errors
    ///
    /// If it names nothing.
    pub fn new(text: &str) -> Result<Self, String> {
        match text {
            "" | "/" => Err(
                "must name a claim, or be a JSON Pointer such as /realm_access/roles".to_owned(),
            ),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// What is there.
    pub fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else {
            return claims.get(&self.0);
        };
        let end = path.find('/').unwrap_or(path.len());
        let name = path[..end].replace("~1", "/").replace("~0", "~");
        claims.get(&name)?.pointer(&path[end..])
    }
}

/// A claim as a header's value: texts as they are, numbers and booleans as JSON, lists joined by commas, objects as
/// JSON. `None` for null, an empty list, and what can't stand in a header as it is meant: control characters, a
/// list's item with a comma, more than [`MAX_VALUE`] bytes.
pub fn header_value(claim: &Value) -> Option<String> {
    let value = match claim {
        Value::Array(items) => {
            let items = items.iter().map(scalar).collect::<Option<Vec<_>>>()?;
            // It would look like two items, of which the issuer has vouched for neither.
            if items.iter().any(|item| item.contains(',')) {
                return None;
            }
            items.join(",")
        }
        Value::Object(_) => claim.to_string(),
        claim => scalar(claim)?,
    };
    let is_sound = !value.is_empty()
        && value.len() <= MAX_VALUE
        && value.trim() == value
        && !value.chars().any(char::is_control);
    is_sound.then_some(value)
}

fn scalar(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(claim.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(path: &str, claims: &Value) -> Option<Value> {
        let path = ClaimPath::new(path).unwrap();
        path.of(claims.as_object().unwrap()).cloned()
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = json!({ "sub": "a", "https://x.example/roles": 1, "r": { "a/b": [7, 8], "~": 2 }, "/": 3 });
        assert_eq!(at("sub", &claims), Some(json!("a")));
        assert_eq!(at("https://x.example/roles", &claims), Some(json!(1)));
        assert_eq!(at("/sub", &claims), Some(json!("a")));
        assert_eq!(at("/r/a~1b/1", &claims), Some(json!(8)));
        assert_eq!(at("/r/~0", &claims), Some(json!(2)));
        assert_eq!(at("/~1", &claims), Some(json!(3)));
        for path in ["r/a~1b", "/r/x", "/x/y", "/r/a~1b/9", "/sub/x"] {
            assert_eq!(at(path, &claims), None, "{path}");
        }
        assert!(ClaimPath::new("").is_err() && ClaimPath::new("/").is_err());
    }

    #[test]
    fn claims_stand_in_headers_as_texts_numbers_and_lists() {
        for (claim, value) in [
            (json!("Zoë, a"), Some("Zoë, a")),
            (json!(7), Some("7")),
            (json!(false), Some("false")),
            (json!(["a", "b", 3]), Some("a,b,3")),
            (json!({ "a": ["x"] }), Some(r#"{"a":["x"]}"#)),
            (json!(null), None),
            (json!([]), None),
            (json!(""), None),
            (json!(["a,admin"]), None),
            (json!([["a"]]), None),
            (json!("a\r\nx-admin: 1"), None),
            (json!("a\0"), None),
            (json!(" a"), None),
            (json!("a".repeat(MAX_VALUE + 1)), None),
        ] {
            assert_eq!(header_value(&claim).as_deref(), value, "{claim}");
        }
    }
}
