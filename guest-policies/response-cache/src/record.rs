//! What stands in the store, and in the exchange's state, as bytes: a response, or how a resource's variants are told apart.

use crate::fields::Fields;
use crate::freshness::Freshness;

/// The first byte of every value; what another version has written is as if it were not there.
const VERSION: u8 = 1;

/// A body of at most so many bytes stands in its record; a larger one has a key of its own, so that a request that is answered
/// without it does not move it, and so that a record has room in an exchange's state.
pub const MAX_INLINE_BYTES: usize = 16 << 10;

/// A value of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The resource's responses vary.
    Variants(Variants),
    /// A response.
    Entry(Entry),
}

/// By what the responses of a resource are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    /// Part of the variants' keys: who removes this record has removed them all.
    pub generation: u64,
    /// Names of request fields, in order.
    pub names: Vec<String>,
}

/// A response that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its status.
    pub status: u16,
    /// Its fields, without those of a connection.
    pub fields: Fields,
    /// What they say about its use.
    pub freshness: Freshness,
    /// When it stops being of any use, in milliseconds since 1970.
    pub useful_until_ms: u64,
    /// Its body.
    pub body: Body,
}

/// Where a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Here.
    Inline(Vec<u8>),
    /// Under the key of this number.
    Apart(u64),
}

impl Body {
    /// The key of a body that is kept apart.
    pub fn key(number: u64) -> String {
        format!("b:{number:016x}")
    }
}

impl Variants {
    /// The key of the variant with that digest.
    pub fn key(&self, digest: &str) -> String {
        format!("v:{:016x}:{digest}", self.generation)
    }
}

impl Record {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(vec![VERSION]);
        match self {
            Self::Variants(variants) => {
                writer.number(0);
                writer.number(variants.generation);
                writer.number(variants.names.len() as u64);
                variants
                    .names
                    .iter()
                    .for_each(|name| writer.bytes(name.as_bytes()));
            }
            Self::Entry(entry) => {
                writer.number(1);
                entry.write(&mut writer);
            }
        }
        writer.0
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let mut reader = Reader(rest);
        let record = match (*version, reader.number()?) {
            (VERSION, 0) => Self::Variants(Variants {
                generation: reader.number()?,
                names: reader.list(|reader| String::from_utf8(reader.bytes()?.to_vec()).ok())?,
            }),
            (VERSION, 1) => Self::Entry(Entry::read(&mut reader)?),
            _ => return None,
        };
        reader.0.is_empty().then_some(record)
    }
}

impl Entry {
    fn write(&self, writer: &mut Writer) {
        writer.number(self.status.into());
        writer.fields(&self.fields);
        let freshness = &self.freshness;
        writer.number(freshness.received_ms);
        writer.number(freshness.initial_age_ms);
        writer.number(freshness.lifetime_s);
        writer.number(freshness.stale_if_error_s);
        for flag in [
            freshness.no_cache,
            freshness.never_stale,
            freshness.immutable,
        ] {
            writer.number(flag.into());
        }
        writer.number(self.useful_until_ms);
        match &self.body {
            Body::Inline(body) => {
                writer.number(0);
                writer.bytes(body);
            }
            Body::Apart(number) => {
                writer.number(1);
                writer.number(*number);
            }
        }
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            status: u16::try_from(reader.number()?).ok()?,
            fields: reader.fields()?,
            freshness: Freshness {
                received_ms: reader.number()?,
                initial_age_ms: reader.number()?,
                lifetime_s: reader.number()?,
                stale_if_error_s: reader.number()?,
                no_cache: reader.number()? == 1,
                never_stale: reader.number()? == 1,
                immutable: reader.number()? == 1,
            },
            useful_until_ms: reader.number()?,
            body: match reader.number()? {
                0 => Body::Inline(reader.bytes()?.to_vec()),
                1 => Body::Apart(reader.number()?),
                _ => return None,
            },
        })
    }
}

/// Writes numbers as 8 bytes, little endian, and bytes after their number.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A number.
    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Fields.
    pub fn fields(&mut self, fields: &Fields) {
        self.number(fields.len() as u64);
        for (name, value) in fields {
            self.bytes(name.as_bytes());
            self.bytes(value);
        }
    }
}

/// Reads what a [`Writer`] wrote; `None` where it is not there.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Fields.
    pub fn fields(&mut self) -> Option<Fields> {
        self.list(|reader| {
            let name = String::from_utf8(reader.bytes()?.to_vec()).ok()?;
            Some((name, reader.bytes()?.to_vec()))
        })
    }

    /// As many as the number says; a number that is too large ends with the bytes.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        for _ in 0..self.number()? {
            list.push(one(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fields;

    fn entry(body: Body) -> Record {
        Record::Entry(Entry {
            status: 200,
            fields: fields::of(&[("etag", "\"1\""), ("x", "")]),
            freshness: Freshness {
                received_ms: 1,
                initial_age_ms: 2,
                lifetime_s: 3,
                stale_if_error_s: 4,
                no_cache: true,
                never_stale: false,
                immutable: true,
            },
            useful_until_ms: u64::MAX,
            body,
        })
    }

    #[test]
    fn records_survive_the_store_and_no_part_of_one_is_one() {
        let variants = Variants {
            generation: 7,
            names: vec!["accept".to_owned(), String::new()],
        };
        for record in [
            entry(Body::Inline(b"hello".to_vec())),
            entry(Body::Apart(9)),
            Record::Variants(variants),
        ] {
            let bytes = record.to_bytes();
            assert_eq!(Record::from_bytes(&bytes).as_ref(), Some(&record));
            for length in 0..bytes.len() {
                assert_eq!(Record::from_bytes(&bytes[..length]), None, "{length}");
            }
            let other_version = [&[VERSION + 1], &bytes[1..]].concat();
            assert_eq!(Record::from_bytes(&other_version), None);
            assert_eq!(Record::from_bytes(&[&bytes[..], b"x"].concat()), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(bytes: Vec<u8>, at: usize, byte: u8) {
            let _ = Record::from_bytes(&bytes);
            let mut changed = entry(Body::Inline(b"hello".to_vec())).to_bytes();
            let length = changed.len();
            changed[at % length] = byte;
            let _ = Record::from_bytes(&changed);
        }
    }
}
