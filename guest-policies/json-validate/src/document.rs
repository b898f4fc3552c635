//! A body, read as JSON more strictly than RFC 8259 asks for: without names that stand twice in an object, and without
//! nesting that a reader could fall over.

use std::cell::RefCell;
use std::fmt;

use portcullis_sdk::serde::de::{
    self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};
use portcullis_sdk::serde_json::{self, Map, Number, Value};

/// How strictly.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Arrays and objects within each other: 1 for one without others.
    pub max_depth: usize,
    /// Whether a name may stand twice in an object; the last one holds, as most readers have it.
    pub duplicate_keys: bool,
}

/// Why a body is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoDocument {
    /// It is no JSON, with what the reader says.
    Syntax(String),
    /// This name stands twice: the JSON Pointer of the second.
    DuplicateKey(String),
    /// More arrays and objects within each other than allowed.
    TooDeep,
}

impl NoDocument {
    /// For the client.
    pub fn detail(&self) -> String {
        match self {
            Self::Syntax(message) => message.clone(),
            Self::DuplicateKey(pointer) => format!("a name stands twice: {pointer}"),
            Self::TooDeep => "arrays and objects are nested too deeply".to_owned(),
        }
    }
}

/// Reads `body`.
///
/// # Errors
///
/// The first reason why it is no document.
pub fn parse(body: &[u8], rules: Rules) -> Result<Value, NoDocument> {
    let reason = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let root = Node {
        rules,
        reason: &reason,
        place: Place {
            parent: None,
            token: Token::Root,
        },
        depth: 0,
    };
    let read = root
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        reason
            .into_inner()
            .unwrap_or_else(|| NoDocument::Syntax(error.to_string()))
    })
}

/// Where a value is, from it to the root.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    token: Token<'a>,
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Root,
    Index(usize),
    Name(&'a str),
}

impl Place<'_> {
    /// As a JSON Pointer (RFC 6901).
    fn pointer(&self) -> String {
        let parent = self.parent.map(Place::pointer).unwrap_or_default();
        match self.token {
            Token::Root => parent,
            Token::Index(index) => format!("{parent}/{index}"),
            Token::Name(name) => format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

/// One value that is to be read.
struct Node<'a> {
    rules: Rules,
    reason: &'a RefCell<Option<NoDocument>>,
    place: Place<'a>,
    depth: usize,
}

impl Node<'_> {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth == self.rules.max_depth {
            Err(self.fail(NoDocument::TooDeep))
        } else {
            Ok(self.depth + 1)
        }
    }

    fn fail<E: de::Error>(&self, reason: NoDocument) -> E {
        *self.reason.borrow_mut() = Some(reason);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        loop {
            let place = Place {
                parent: Some(&self.place),
                token: Token::Index(items.len()),
            };
            let node = Node {
                rules: self.rules,
                reason: self.reason,
                place,
                depth,
            };
            match sequence.next_element_seed(node)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let place = Place {
                parent: Some(&self.place),
                token: Token::Name(&name),
            };
            if !self.rules.duplicate_keys && members.contains_key(&name) {
                return Err(self.fail(NoDocument::DuplicateKey(place.pointer())));
            }
            let value = map.next_value_seed(Node {
                rules: self.rules,
                reason: self.reason,
                place,
                depth,
            })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Rules = Rules {
        max_depth: 3,
        duplicate_keys: false,
    };

    #[test]
    fn values_are_those_of_a_plain_reader() {
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1.5e3",
            "\"a\\u00e9\"",
            "[]",
            "{}",
            r#"{"a":[{"b":null}],"c":"d"}"#,
            " [1 , 2]\n",
        ] {
            assert_eq!(
                parse(text.as_bytes(), STRICT),
                Ok(serde_json::from_str(text).unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_stand_twice_are_found_by_pointer() {
        for (text, pointer) in [
            (r#"{"a":1,"a":1}"#, "/a"),
            (r#"{"x":[0,{"~/":1,"b":2,"~/":3}]}"#, "/x/1/~0~1"),
            (r#"{"a":1,"\u0061":2}"#, "/a"),
        ] {
            assert_eq!(
                parse(text.as_bytes(), STRICT),
                Err(NoDocument::DuplicateKey(pointer.to_owned()))
            );
            assert!(
                parse(
                    text.as_bytes(),
                    Rules {
                        duplicate_keys: true,
                        ..STRICT
                    }
                )
                .is_ok()
            );
        }
        assert!(parse(br#"[{"a":1},{"a":2}]"#, STRICT).is_ok());
    }

    #[test]
    fn nesting_has_an_end() {
        assert!(parse(b"[[[1]]]", STRICT).is_ok());
        assert_eq!(parse(b"[[[[]]]]", STRICT), Err(NoDocument::TooDeep));
        assert_eq!(
            parse(br#"{"a":[{"b":{}}]}"#, STRICT),
            Err(NoDocument::TooDeep)
        );
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse(
                deep.as_bytes(),
                Rules {
                    max_depth: 120,
                    ..STRICT
                }
            ),
            Err(NoDocument::TooDeep)
        );
    }

    #[test]
    fn what_is_no_json_says_where() {
        for text in [
            "",
            "{",
            "{'a':1}",
            "[1,]",
            "1 2",
            "NaN",
            "\u{feff}{}",
            "\"\n\"",
            "1e999",
        ] {
            let Err(NoDocument::Syntax(message)) = parse(text.as_bytes(), STRICT) else {
                panic!("{text}")
            };
            assert!(message.contains("line"), "{message}");
        }
        assert!(matches!(
            parse(b"\"\xff\"", STRICT),
            Err(NoDocument::Syntax(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_what_a_plain_reader_reads(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = parse(&bytes, STRICT) {
                prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
            }
        }
    }
}
