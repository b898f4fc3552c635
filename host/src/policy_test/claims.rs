//! Whether something is as it was claimed; what is not, in words.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;

use super::case_file::{OrNull, Texts};

/// Bytes of a body that are shown where it is not as claimed.
const MAX_SHOWN: usize = 400;

/// A message as it was seen.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// Its fields.
    pub(super) headers: &'a HeaderMap,
    /// All of its body.
    pub(super) body: &'a [u8],
}

/// What is not as claimed.
#[derive(Debug, Clone, Default)]
pub(super) struct Mismatches(Vec<String>);

impl Mismatches {
    /// Everything is as claimed so far.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Notes one.
    pub(super) fn push(&mut self, text: String) {
        self.0.push(text);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes others.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// In order.
    pub(super) fn all(&self) -> &[String] {
        &self.0
    }

    /// The same ones, as of a part of something.
    pub(super) fn under(self, part: &str) -> Self {
        Self(
            self.0
                .into_iter()
                .map(|text| format!("{part}.{text}"))
                .collect(),
        )
    }

    /// A claim on a text.
    pub(super) fn text(&mut self, what: &str, claimed: Option<&String>, seen: &str) {
        if let Some(claimed) = claimed.filter(|claimed| *claimed != seen) {
            self.push(format!("{what}: expected {claimed:?}, got {seen:?}"));
        }
    }

    /// A claim on anything else.
    pub(super) fn value<V: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        claimed: Option<V>,
        seen: V,
    ) {
        if let Some(claimed) = claimed.filter(|claimed| *claimed != seen) {
            self.push(format!("{what}: expected {claimed:?}, got {seen:?}"));
        }
    }

    /// Claims on fields.
    pub(super) fn headers(&mut self, claimed: &BTreeMap<String, OrNull<Texts>>, seen: &HeaderMap) {
        for (name, claimed) in claimed {
            let values = seen.get_all(name.to_ascii_lowercase()).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            let claimed = claimed.0.as_ref().map_or(&[][..], Texts::all);
            if values != claimed {
                let text = format!("headers.{name}: expected {claimed:?}, got {values:?}");
                self.push(text);
            }
        }
    }

    /// Claims on a body.
    pub(super) fn body(&mut self, text: Option<&String>, json: Option<&Value>, seen: &[u8]) {
        let shown = || {
            let shown = String::from_utf8_lossy(seen);
            let mut end = shown.len().min(MAX_SHOWN);
            while !shown.is_char_boundary(end) {
                end -= 1;
            }
            shown[..end].to_owned()
        };
        if let Some(text) = text.filter(|text| text.as_bytes() != seen) {
            self.push(format!("body: expected {text:?}, got {:?}", shown()));
        }
        let Some(claimed) = json else { return };
        match serde_json::from_slice(seen) {
            Ok(seen) => self.json("json", claimed, &seen),
            Err(_) => self.push(format!("json: the body is no JSON: {:?}", shown())),
        }
    }

    /// A claim on JSON: of an object only on the members that it names.
    fn json(&mut self, place: &str, claimed: &Value, seen: &Value) {
        match (claimed, seen) {
            (Value::Object(claimed), Value::Object(seen)) => {
                for (name, claimed) in claimed {
                    let place = format!("{place}.{name}");
                    match seen.get(name) {
                        Some(seen) => self.json(&place, claimed, seen),
                        None => self.push(format!("{place}: expected {claimed}, got nothing")),
                    }
                }
            }
            (Value::Array(claimed), Value::Array(seen)) if claimed.len() == seen.len() => {
                for (index, (claimed, seen)) in claimed.iter().zip(seen).enumerate() {
                    self.json(&format!("{place}[{index}]"), claimed, seen);
                }
            }
            _ if claimed == seen => {}
            _ => self.push(format!("{place}: expected {claimed}, got {seen}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mismatches(claim: impl FnOnce(&mut Mismatches)) -> Vec<String> {
        let mut found = Mismatches::new();
        claim(&mut found);
        found.0
    }

    #[test]
    fn fields_are_claimed_by_all_their_values() {
        let mut seen = HeaderMap::new();
        seen.append("vary", "Origin".parse().unwrap());
        seen.append("vary", "Accept".parse().unwrap());
        let check = |claims: Value| {
            let claims = serde_json::from_value(claims).unwrap();
            mismatches(|found| found.headers(&claims, &seen)).len()
        };
        assert_eq!(check(json!({ "Vary": ["Origin", "Accept"], "x": null })), 0);
        assert_eq!(check(json!({ "vary": "Origin", "x": "y" })), 2);
        assert_eq!(check(json!({ "vary": null })), 1);
    }

    #[test]
    fn json_is_claimed_by_the_members_that_are_named() {
        let check = |claimed: Value| {
            let seen = br#"{"a":{"b":1,"c":2},"l":[1,{"d":3}]}"#;
            mismatches(|found| found.body(None, Some(&claimed), seen))
        };
        assert!(check(json!({ "a": { "b": 1 }, "l": [1, {}] })).is_empty());
        assert_eq!(
            check(json!({ "a": { "b": 2, "z": null }, "l": [1] })),
            [
                "json.a.b: expected 2, got 1",
                "json.a.z: expected null, got nothing",
                "json.l: expected [1], got [1,{\"d\":3}]"
            ]
        );
        let none = mismatches(|found| found.body(None, Some(&json!({})), b"{"));
        assert_eq!(none, ["json: the body is no JSON: \"{\""]);
    }
}
