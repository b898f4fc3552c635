//! What the request's hook hands to the response's, kept by the gateway with the exchange.

use crate::cache_status::Forward;
use crate::fields::Fields;
use crate::record::{Entry, Reader, Record, Writer};

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The cache has nothing more to do with it than to say so.
    Passing(Forward),
    /// A change that succeeds makes what is kept under this key untrue.
    Changing(String),
    /// The upstream is asked.
    Asking(Question),
}

/// A GET that the upstream is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The resource's key.
    pub key: String,
    /// Why.
    pub forward: Forward,
    /// When, in milliseconds since 1970.
    pub requested_ms: u64,
    /// The request as the client has sent it: later policies may have edited it, and the next look-up will not know of that.
    pub request: Fields,
    /// What is kept, and could be sent if the upstream says so, or fails.
    pub kept: Option<Kept>,
}

/// A response that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its key.
    pub key: String,
    /// Itself.
    pub entry: Entry,
}

impl State {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Passing(forward) => {
                writer.number(0);
                writer.number(forward.number() as u64);
            }
            Self::Changing(key) => {
                writer.number(1);
                writer.bytes(key.as_bytes());
            }
            Self::Asking(question) => {
                writer.number(2);
                question.write(&mut writer);
            }
        }
        writer.0
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.number()? {
            0 => Self::Passing(Forward::from_number(reader.number()?)?),
            1 => Self::Changing(text(&mut reader)?),
            2 => Self::Asking(Question::read(&mut reader)?),
            _ => return None,
        })
    }
}

impl Question {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.key.as_bytes());
        writer.number(self.forward.number() as u64);
        writer.number(self.requested_ms);
        writer.fields(&self.request);
        if let Some(Kept { key, entry }) = &self.kept {
            writer.bytes(key.as_bytes());
            writer.bytes(&Record::Entry(entry.clone()).to_bytes());
        }
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            key: text(reader)?,
            forward: Forward::from_number(reader.number()?)?,
            requested_ms: reader.number()?,
            request: reader.fields()?,
            kept: match text(reader) {
                None => None,
                Some(key) => match Record::from_bytes(reader.bytes()?)? {
                    Record::Entry(entry) => Some(Kept { key, entry }),
                    Record::Variants(_) => return None,
                },
            },
        })
    }
}

fn text(reader: &mut Reader) -> Option<String> {
    String::from_utf8(reader.bytes()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;
    use crate::freshness::Freshness;
    use crate::record::{Body, MAX_INLINE_BYTES};
    use crate::{request, storing};

    fn question(kept: Option<Kept>) -> Question {
        Question {
            key: "u:r|http://a/".to_owned(),
            forward: Forward::Stale,
            requested_ms: 7,
            request: fields::of(&[("accept", "x")]),
            kept,
        }
    }

    fn kept(fields: Fields, body: Vec<u8>) -> Kept {
        Kept {
            key: "v:1".to_owned(),
            entry: Entry {
                status: 200,
                fields,
                freshness: Freshness::default(),
                useful_until_ms: 9,
                body: Body::Inline(body),
            },
        }
    }

    #[test]
    fn the_state_survives_the_way_to_the_response() {
        for state in [
            State::Passing(Forward::Method),
            State::Changing("u:r|http://a/".to_owned()),
            State::Asking(question(None)),
            State::Asking(question(Some(kept(
                fields::of(&[("etag", "1")]),
                b"x".to_vec(),
            )))),
        ] {
            assert_eq!(State::from_bytes(&state.to_bytes()).as_ref(), Some(&state));
        }
        assert_eq!(State::from_bytes(b"x"), None);
    }

    #[test]
    fn the_largest_state_is_one_that_the_gateway_keeps() {
        let line = |bytes: usize| vec![("x".to_owned(), vec![b'x'; bytes - 1])];
        let mut question = question(Some(kept(
            line(storing::MAX_FIELD_BYTES),
            vec![0; MAX_INLINE_BYTES],
        )));
        question.request = line(request::MAX_FIELD_BYTES);
        // The numbers of as many lines as there may be take 16 bytes each.
        let numbers = 16 * (240 + 256);
        assert!(State::Asking(question).to_bytes().len() + numbers < 64 << 10);
    }
}
