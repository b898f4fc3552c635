//! Reading keys by hand. serde's `untagged` would keep each value and try one form after the other: twice the
//! code, and a message that says only that none of them fits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{FactName, Key, SelectorConfig};

const KINDS: [&str; 4] = ["header", "cookie", "query", "shared"];
const FIELDS: &[&str] = &["header", "cookie", "query", "shared", "or"];
const EXPECTED: &str = "client_address, identity, route, { header: NAME, or: … } or the same with cookie, query or shared";

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

impl<'de> Deserialize<'de> for SelectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SelectorVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)?;
        f.write_str(", or a list of these")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Key, E> {
        SelectorVisitor.visit_str(word).map(Key::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
        SelectorVisitor.visit_map(map).map(Key::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Key, A::Error> {
        let mut selectors = Vec::new();
        while let Some(selector) = list.next_element()? {
            selectors.push(selector);
        }
        Ok(Key::Combined(selectors))
    }
}

struct SelectorVisitor;

impl<'de> Visitor<'de> for SelectorVisitor {
    type Value = SelectorConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<SelectorConfig, E> {
        Ok(SelectorConfig::Fact(match word {
            "client_address" => FactName::ClientAddress,
            "identity" => FactName::Identity,
            "route" => FactName::Route,
            _ => return Err(E::invalid_value(Unexpected::Str(word), &self)),
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SelectorConfig, A::Error> {
        let (mut named, mut or) = (None, None);
        while let Some(field) = map.next_key::<String>()? {
            let kind = KINDS.iter().position(|kind| *kind == field);
            match kind {
                Some(kind) if named.is_none() => named = Some((kind, map.next_value::<String>()?)),
                Some(_) => return Err(one_of_the_kinds()),
                None if field == "or" => or = Some(Box::new(map.next_value()?)),
                None => return Err(A::Error::unknown_field(&field, FIELDS)),
            }
        }
        Ok(match named {
            Some((0, header)) => SelectorConfig::Header { header, or },
            Some((1, cookie)) => SelectorConfig::Cookie { cookie, or },
            Some((2, query)) => SelectorConfig::Query { query, or },
            Some((_, shared)) => SelectorConfig::Shared { shared, or },
            None => return Err(one_of_the_kinds()),
        })
    }
}

fn one_of_the_kinds<E: Error>() -> E {
    E::custom("a selector must have one of header, cookie, query and shared")
}
