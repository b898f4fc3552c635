//! Trailer fields, which pass both ways unless they belong in a head.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{self, HeaderName};
use http_body::Frame;

use crate::head::fields::is_hop_by_hop;
use crate::policy::edit::{EditError, editable_name, field_value};

/// Trailer fields that a policy may set.
const MAX_FIELDS: usize = 64;
/// Bytes of their names and values.
const MAX_BYTES: usize = 16 << 10;

/// A frame that may pass: of trailers, without the fields that are not theirs. Who merges trailers into
/// a head (RFC 9110 §6.5.1) must not be told of another length, host, user or client that way.
pub fn end_to_end(frame: Frame<Bytes>) -> Frame<Bytes> {
    if !frame.is_trailers() {
        return frame;
    }
    match frame.into_trailers() {
        Ok(mut fields) => {
            let refused: Vec<HeaderName> = fields
                .keys()
                .filter(|name| is_for_heads(name))
                .cloned()
                .collect();
            for name in refused {
                fields.remove(name);
            }
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}

/// The trailers that a policy sets: fields that may be there, and not too many.
pub fn of_a_policy(fields: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, EditError> {
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if fields.len() > MAX_FIELDS || bytes > MAX_BYTES {
        return Err(EditError::Invalid(format!(
            "more than {MAX_FIELDS} trailers, or {MAX_BYTES} bytes of them"
        )));
    }
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = editable_name(&name)?;
        if is_for_heads(&name) {
            return Err(EditError::Forbidden(format!("{name} as a trailer")));
        }
        let value = field_value(&name, &value)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

/// RFC 9110 §6.5.1: framing, routing, request modifiers, authentication, content; and what the gateway
/// itself says in a head.
fn is_for_heads(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 15] = [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::FORWARDED,
        header::HOST,
        header::MAX_FORWARDS,
        header::PRAGMA,
        header::RANGE,
        header::SET_COOKIE,
        HeaderName::from_static("x-real-ip"),
    ];
    let text = name.as_str();
    is_hop_by_hop(name)
        || FORBIDDEN.contains(name)
        || text.starts_with("x-forwarded-")
        || text.starts_with("x-portcullis-")
        || text == "x-request-id"
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn fields_of_heads_do_not_pass_as_trailers() {
        let names = [
            "grpc-status",
            "x-checksum",
            "content-length",
            "transfer-encoding",
            "host",
            "authorization",
            "x-forwarded-for",
            "x-request-id",
            "connection",
            "trailer",
        ];
        let fields: HeaderMap = names
            .iter()
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")))
            .collect();
        let frame = end_to_end(Frame::trailers(fields));
        let fields = frame.into_trailers().unwrap();
        let mut kept: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["grpc-status", "x-checksum"]);
    }
    #[test]
    fn a_policy_sets_no_field_of_a_head_and_not_too_many() {
        let set = |name: &str, value: &[u8], times| {
            of_a_policy(vec![(name.to_owned(), value.to_vec()); times]).map(|fields| fields.len())
        };
        assert_eq!(set("x-sum", b"1", MAX_FIELDS), Ok(MAX_FIELDS));
        for (name, value, times) in [
            ("x-sum", &b"1"[..], MAX_FIELDS + 1),
            ("x-sum", &[b'1'; MAX_BYTES][..], 1),
            ("content-length", b"1", 1),
            ("content-type", b"1", 1),
            ("x-request-id", b"1", 1),
            ("x sum", b"1", 1),
            ("x-sum", b"1\r\n", 1),
        ] {
            assert!(set(name, value, times).is_err(), "{name}");
        }
    }
}
