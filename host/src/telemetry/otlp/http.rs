//! OTLP/HTTP with protobuf.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, HeaderValue};

use super::collector::{ExportError, Signal};
use crate::upstream::retry_after::retry_after;

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Metrics => "/v1/metrics",
    }
}

pub(super) fn describe(headers: &mut HeaderMap) {
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    headers.insert(CONTENT_TYPE, protobuf);
}

/// The message of an answer, or what its status means for the export (§"Failures").
pub(super) fn read(head: &Parts, body: Bytes) -> Result<Bytes, ExportError> {
    let why = || format!("HTTP status {}", head.status.as_u16());
    match head.status.as_u16() {
        200..=299 => Ok(body),
        429 | 502..=504 => {
            let asked = retry_after(&head.headers, SystemTime::now());
            Err(ExportError::Later(asked, why()))
        }
        _ => Err(ExportError::Refused(why())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again() {
        for (status, again) in [
            (429, true),
            (502, true),
            (503, true),
            (504, true),
            (500, false),
            (400, false),
            (404, false),
        ] {
            let mut response = http::Response::new(());
            *response.status_mut() = status.try_into().unwrap();
            let wait = HeaderValue::from_static("7");
            response.headers_mut().insert(RETRY_AFTER, wait);
            let (head, ()) = response.into_parts();
            match read(&head, Bytes::new()).unwrap_err() {
                ExportError::Later(asked, _) => {
                    assert!(again, "{status}");
                    assert_eq!(asked, Some(Duration::from_secs(7)));
                }
                ExportError::Refused(_) => assert!(!again, "{status}"),
            }
        }
    }
}
