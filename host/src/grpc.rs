//! gRPC's way to say that a call has failed.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::exchange::{ResponseHead, ResponseSource};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Bytes of a message before it is encoded.
const MAX_MESSAGE_BYTES: usize = 512;

/// Whether these fields are those of a gRPC call: `application/grpc`, or with a `+suffix`.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(&[][..], HeaderValue::as_bytes);
    kind.len() >= GRPC.len()
        && kind[..GRPC.len()].eq_ignore_ascii_case(GRPC)
        && matches!(kind.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

/// Turns a response into one without a body that says the same by `grpc-status` ("Trailers-Only" in
/// gRPC's "gRPC over HTTP2").
pub fn trailers_only(head: &mut ResponseHead, body: &[u8]) {
    let (status, message) = match &head.source {
        ResponseSource::Gateway("deadline-exceeded") => (4, "deadline-exceeded".to_owned()),
        ResponseSource::Gateway(code) => (code_for(head.status), (*code).to_owned()),
        _ => (code_for(head.status), message_of(head, body)),
    };
    let fields = &mut head.headers;
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // A policy may have said it itself.
    if !fields.contains_key(GRPC_STATUS) {
        fields.insert(GRPC_STATUS, HeaderValue::from(status));
        // Percent-encoded text is a valid value.
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&message)) {
            fields.insert(GRPC_MESSAGE, message);
        }
    }
    head.status = StatusCode::OK;
}

/// gRPC's "HTTP to gRPC Status Code Mapping".
fn code_for(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn message_of(head: &ResponseHead, body: &[u8]) -> String {
    let kind = head.headers.get(CONTENT_TYPE);
    let is_text = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let text = std::str::from_utf8(body).unwrap_or_default();
    if is_text && !text.is_empty() && text.len() <= MAX_MESSAGE_BYTES {
        text.to_owned()
    } else {
        head.status.canonical_reason().unwrap_or("error").to_owned()
    }
}

/// gRPC's Percent-Encoded: all but printable ASCII, and `%`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_the_whole_media_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
    }

    #[test]
    fn a_status_becomes_the_code_of_grpcs_mapping() {
        for (status, code) in [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (429, "14"),
            (500, "2"),
            (503, "14"),
        ] {
            let mut head = ResponseHead {
                source: ResponseSource::Policy("p".into()),
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
            };
            trailers_only(&mut head, "50 % zu früh\n".as_bytes());
            assert_eq!(head.status, 200);
            assert_eq!(head.headers["grpc-status"], code);
            assert_eq!(head.headers["grpc-message"], "50 %25 zu fr%C3%BCh%0A");
        }
    }
}
