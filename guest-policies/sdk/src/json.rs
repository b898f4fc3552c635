//! Reads a config from JSON (RFC 8259), and says by a JSON Pointer where it does not fit.
//!
//! serde_json with serde_path_to_error does the same with 23 to 27 kB more code, and a gateway compiles
//! a policy's code at each load. Here are no line numbers, no borrowed texts and no numbers as keys of maps, which
//! configs do not need; a float may be some units in its last place off when it has more than 15 digits.

mod reader;

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::value::CowStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use reader::{Reader, Token};

/// Reads all of `text` as one `T`.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.not_json()),
    }
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Error {
    /// A JSON Pointer, put together from its end while the error passes through the containers.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Error {
    fn under(mut self, token: impl Display) -> Self {
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        self.path = format!("/{token}{}", self.path);
        self
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
        }
    }

    fn invalid_type(seen: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "invalid type: {}, expected {expected}",
            Seen(seen)
        ))
    }

    fn invalid_value(seen: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "invalid value: {}, expected {expected}",
            Seen(seen)
        ))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// In JSON's words, and without a float's digits: writing them is 10 kB of code.
struct Seen<'a>(Unexpected<'a>);

impl Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "boolean `{value}`"),
            Unexpected::Unsigned(value) => write!(f, "integer `{value}`"),
            Unexpected::Signed(value) => write!(f, "integer `{value}`"),
            Unexpected::Float(_) => f.write_str("a number with a fraction or an exponent"),
            Unexpected::Str(value) => write!(f, "string \"{value}\""),
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Seq => f.write_str("sequence"),
            Unexpected::Other(what) => f.write_str(what),
            _ => f.write_str("map"),
        }
    }
}

/// Numbers of any size: the visitors check the range.
macro_rules! only_number {
    ($($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.token()? {
                Token::Unsigned(value) => visitor.visit_u64(value),
                Token::Signed(value) => visitor.visit_i64(value),
                Token::Float(value) => visitor.visit_f64(value),
                other => Err(other.misfit(&visitor)),
            }
        }
    )+ };
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Null => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Signed(value) => visitor.visit_i64(value),
            Token::Float(value) => visitor.visit_f64(value),
            Token::Text(text) => visitor.visit_str(&text),
            Token::Array => array(self, visitor),
            Token::Object => object(self, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'n') {
            self.token()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Text(name) => visitor.visit_enum(text(name)),
            Token::Object => {
                let name = self.string()?;
                self.expect(b':')?;
                let variant = Variant {
                    reader: self,
                    name: &name,
                };
                visitor.visit_enum(variant).map_err(|e| e.under(&name))
            }
            other => Err(other.misfit(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Bool(value) => visitor.visit_bool(value),
            other => Err(other.misfit(&visitor)),
        }
    }

    only_number! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Text(text) => visitor.visit_str(&text),
            other => Err(other.misfit(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Array => array(self, visitor),
            other => Err(other.misfit(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.token()? {
            Token::Object => object(self, visitor),
            other => Err(other.misfit(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn array<'de, V: Visitor<'de>>(reader: &mut Reader<'_>, visitor: V) -> Result<V::Value, Error> {
    let mut items = Items::new(reader);
    let value = visitor.visit_seq(&mut items)?;
    items.end(b']')?;
    Ok(value)
}

fn object<'de, V: Visitor<'de>>(reader: &mut Reader<'_>, visitor: V) -> Result<V::Value, Error> {
    let mut items = Items::new(reader);
    let value = visitor.visit_map(&mut items)?;
    items.end(b'}')?;
    Ok(value)
}

impl Token<'_> {
    fn misfit(&self, expected: &dyn Expected) -> Error {
        let seen = match self {
            Token::Null => Unexpected::Unit,
            Token::Bool(value) => Unexpected::Bool(*value),
            Token::Unsigned(value) => Unexpected::Unsigned(*value),
            Token::Signed(value) => Unexpected::Signed(*value),
            Token::Float(value) => Unexpected::Float(*value),
            Token::Text(text) => Unexpected::Str(text),
            Token::Array => Unexpected::Seq,
            Token::Object => Unexpected::Map,
        };
        de::Error::invalid_type(seen, expected)
    }
}

fn text(text: Cow<'_, str>) -> CowStrDeserializer<'_, Error> {
    text.into_deserializer()
}

/// The inside of an array or an object.
struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    first: bool,
    index: usize,
    key: Cow<'a, str>,
    ended: bool,
}

impl<'r, 'a> Items<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>) -> Self {
        Self {
            reader,
            first: true,
            index: 0,
            key: Cow::Borrowed(""),
            ended: false,
        }
    }

    /// Leaves the container, whose items a visitor need not have read.
    fn end(mut self, end: u8) -> Result<(), Error> {
        if !self.ended && self.another(end)? {
            return Err(de::Error::custom("more items than expected"));
        }
        self.reader.close();
        Ok(())
    }

    fn another(&mut self, end: u8) -> Result<bool, Error> {
        self.ended = self.ended || !self.reader.another(end, &mut self.first)?;
        Ok(!self.ended)
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.another(b']')? {
            return Ok(None);
        }
        let index = self.index;
        self.index += 1;
        seed.deserialize(&mut *self.reader)
            .map(Some)
            .map_err(|error| error.under(index))
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.another(b'}')? {
            return Ok(None);
        }
        self.key = self.reader.string()?;
        self.reader.expect(b':')?;
        seed.deserialize(text(Cow::Borrowed(&self.key)))
            .map(Some)
            .map_err(|error| error.under(&self.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
            .map_err(|error| error.under(&self.key))
    }
}

/// `{ "name": … }`, an enum's variant that is not a mere name.
struct Variant<'r, 'a> {
    reader: &'r mut Reader<'a>,
    name: &'r str,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let value = seed.deserialize(text(Cow::Borrowed(self.name)))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.newtype_variant_seed(std::marker::PhantomData)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let value = seed.deserialize(&mut *self.reader)?;
        self.reader.expect(b'}')?;
        self.reader.close();
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.newtype_variant_seed(Any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.newtype_variant_seed(Any(visitor))
    }
}

/// Hands a visitor whatever comes.
struct Any<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Any<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

#[cfg(test)]
mod tests;
