//! Where a message ends: heads that two readers could understand differently are refused.

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Version};

use super::framing_watch::DoubleFraming;
use crate::error::GatewayError;

/// Refuses what RFC 9112 §6 leaves to a recipient's kindness. hyper has done a part of it; what it
/// lets through would otherwise reach the upstream in another form than the client's.
///
/// `double_framing` tells of the request's connection.
pub(super) fn check(
    headers: &HeaderMap,
    version: Version,
    double_framing: &DoubleFraming,
) -> Result<(), GatewayError> {
    match ambiguity(headers) {
        Some(reason) => Err(GatewayError::Framing(reason)),
        None if !headers.contains_key(TRANSFER_ENCODING) => Ok(()),
        None if double_framing.was_seen() => {
            Err(GatewayError::Framing("a transfer coding and a length"))
        }
        None if version != Version::HTTP_11 => Err(GatewayError::Framing(
            "a transfer coding in a version that has none",
        )),
        None => Ok(()),
    }
}

/// What makes a message's end doubtful.
pub(super) fn ambiguity(headers: &HeaderMap) -> Option<&'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (length, second_length) = (lengths.next(), lengths.next());
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let (coding, second_coding) = (codings.next(), codings.next());
    if length.is_none() && coding.is_none() {
        return None;
    }
    if length.is_some() && coding.is_some() {
        return Some("a transfer coding and a length");
    }
    // hyper takes several that are equal.
    if second_length.is_some() {
        return Some("more than one length");
    }
    if length.is_some_and(|length| !is_number(length)) {
        return Some("a length that is not a number");
    }
    // Other codings would be lost on the way, as hyper undoes `chunked` alone; a second one is an
    // attempt to be understood differently.
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if second_coding.is_some() || coding.is_some_and(|coding| !is_chunked(coding)) {
        return Some("a transfer coding other than one chunked");
    }
    None
}

/// RFC 9110 §8.6: digits alone; 19 of them are a number that fits whatever they are.
fn is_number(value: &HeaderValue) -> bool {
    let digits = value.as_bytes();
    (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_message_has_one_end_or_is_ambiguous() {
        let (cl, te) = ("content-length", "transfer-encoding");
        for (lines, is_ambiguous) in [
            (&[][..], false),
            (&[(cl, "0")], false),
            (&[(cl, "9999999999999999999")], false),
            (&[(te, "chunked")], false),
            (&[(te, "Chunked")], false),
            (&[(cl, "1"), (cl, "1")], true),
            (&[(cl, "1"), (cl, "2")], true),
            (&[(cl, "1, 1")], true),
            (&[(cl, "+1")], true),
            (&[(cl, "-1")], true),
            (&[(cl, "0x1")], true),
            (&[(cl, "1 ")], true),
            (&[(cl, "")], true),
            (&[(cl, "00000000000000000001")], true),
            (&[(cl, "1"), (te, "chunked")], true),
            (&[(te, "gzip, chunked")], true),
            (&[(te, "gzip"), (te, "chunked")], true),
            (&[(te, "chunked"), (te, "chunked")], true),
            (&[(te, "chunked, identity")], true),
            (&[(te, "xchunked")], true),
            (&[(te, "")], true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            assert_eq!(ambiguity(&headers).is_some(), is_ambiguous, "{lines:?}");
        }
    }

    #[test]
    fn http_1_0_has_no_transfer_codings() {
        let mut headers = HeaderMap::new();
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        assert!(check(&headers, Version::HTTP_10, &DoubleFraming::default()).is_err());
        assert!(check(&headers, Version::HTTP_2, &DoubleFraming::default()).is_err());
        assert!(check(&headers, Version::HTTP_11, &DoubleFraming::default()).is_ok());
    }
}
