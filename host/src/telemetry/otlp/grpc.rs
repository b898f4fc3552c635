//! OTLP/gRPC: unary calls (grpc.io, PROTOCOL-HTTP2) of the collector's services.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, TE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue};

use super::collector::{ExportError, Signal};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

pub(super) fn describe(headers: &mut HeaderMap, timeout: Duration) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Ok(timeout) = HeaderValue::try_from(format!("{}m", timeout.as_millis())) {
        headers.insert(TIMEOUT, timeout);
    }
}

/// The message as a body.
pub(super) fn framed(message: &Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The message of an answer, or what its status means for the export.
pub(super) fn read(
    head: &Parts,
    body: &Bytes,
    trailers: Option<&HeaderMap>,
) -> Result<Bytes, ExportError> {
    // An answer without a message has its status in the head.
    let fields = trailers.unwrap_or(&head.headers);
    let text = |name: &HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
    let Some(status) = text(&STATUS) else {
        // What is no gRPC: a proxy, or another kind of service.
        let why = format!(
            "HTTP status {} without a status of gRPC",
            head.status.as_u16()
        );
        return Err(match head.status.as_u16() {
            429 | 502..=504 => ExportError::Later(None, why),
            _ => ExportError::Refused(why),
        });
    };
    let why = || {
        format!(
            "gRPC status {status}: {}",
            text(&MESSAGE).unwrap_or_default()
        )
    };
    match status {
        "0" => Ok(body.slice(PREFIX_BYTES.min(body.len())..)),
        // By the table of OTLP's specification: cancelled, deadline exceeded, aborted, out of range, unavailable, data
        // loss; and resource exhausted where the details may say when.
        "1" | "4" | "10" | "11" | "14" | "15" => Err(ExportError::Later(None, why())),
        "8" if fields.contains_key(DETAILS) => Err(ExportError::Later(None, why())),
        _ => Err(ExportError::Refused(why())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut response = http::Response::new(());
        *response.status_mut() = status.try_into().unwrap();
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(*name, value);
        }
        response.into_parts().0
    }

    #[test]
    fn a_message_comes_back_as_it_was_framed() {
        let message = Bytes::from_static(b"abc");
        let framed = framed(&message);
        assert_eq!(&framed[..], b"\0\0\0\0\x03abc");
        let ok = answer(200, &[("grpc-status", "0")]);
        assert_eq!(read(&ok, &framed, None).unwrap(), message);
        assert_eq!(read(&ok, &Bytes::new(), None).unwrap(), Bytes::new());
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        let nothing = Bytes::new();
        for (head, again) in [
            (answer(200, &[("grpc-status", "14")]), true),
            (answer(200, &[("grpc-status", "4")]), true),
            (answer(200, &[("grpc-status", "8")]), false),
            (
                answer(
                    200,
                    &[("grpc-status", "8"), ("grpc-status-details-bin", "CAgS")],
                ),
                true,
            ),
            (answer(200, &[("grpc-status", "3")]), false),
            (answer(200, &[("grpc-status", "16")]), false),
            (answer(503, &[]), true),
            (answer(404, &[]), false),
            (answer(200, &[]), false),
        ] {
            let error = read(&head, &nothing, None).unwrap_err();
            assert_eq!(matches!(error, ExportError::Later(..)), again, "{head:?}");
        }
        let late = answer(200, &[("grpc-status", "7")]).headers;
        let error = read(&answer(200, &[]), &nothing, Some(&late)).unwrap_err();
        assert_eq!(error.to_string(), "gRPC status 7: ");
    }
}
