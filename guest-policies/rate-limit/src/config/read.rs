//! Reading by hand what has several forms. serde's `untagged` would keep each value and try one form after the
//! other: twice the code, and a message that says only that none of them fits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{CostConfig, FieldsConfig, FieldsWord};

const COST_FIELDS: &[&str] = &["header", "default", "min", "max"];

impl<'de> Deserialize<'de> for CostConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CostVisitor)
    }
}

impl<'de> Deserialize<'de> for FieldsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct CostVisitor;

impl<'de> Visitor<'de> for CostVisitor {
    type Value = CostConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of units or { header: NAME, default: 1, min: 1, max: … }")
    }

    fn visit_u64<E: Error>(self, units: u64) -> Result<CostConfig, E> {
        let units = u32::try_from(units);
        units
            .map(CostConfig::Fixed)
            .map_err(|_| E::custom("a cost must be at most 4294967295"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CostConfig, A::Error> {
        let (mut name, mut default, mut min, mut max) = (None, 1, 1, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "header" => name = Some(map.next_value()?),
                "default" => default = map.next_value()?,
                "min" => min = map.next_value()?,
                "max" => max = Some(map.next_value()?),
                _ => return Err(A::Error::unknown_field(&field, COST_FIELDS)),
            }
        }
        Ok(CostConfig::Header {
            header: name.ok_or_else(|| A::Error::missing_field("header"))?,
            default,
            min,
            max,
        })
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = FieldsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("draft, legacy, none or a list of draft and legacy")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<FieldsConfig, E> {
        let expected: &dyn serde::de::Expected = &self;
        let word = FieldsWord::read(word)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(word), expected))?;
        Ok(FieldsConfig::One(word))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FieldsConfig, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = list.next_element::<String>()? {
            let known = FieldsWord::read(&word).filter(|word| *word != FieldsWord::None);
            let unexpected = || A::Error::invalid_value(Unexpected::Str(&word), &"draft or legacy");
            words.push(known.ok_or_else(unexpected)?);
        }
        Ok(FieldsConfig::Several(words))
    }
}

impl FieldsWord {
    fn read(word: &str) -> Option<Self> {
        match word {
            "draft" => Some(Self::Draft),
            "legacy" => Some(Self::Legacy),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}
