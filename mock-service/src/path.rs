//! Which path asks for which step. Any path without a meaning of its own is echoed.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use crate::query::query_value;
use crate::step::{STATUSES, Step};

/// Ten minutes: longer than any timeout that one would want to provoke.
const MAX_WAIT_MS: u64 = 600_000;
/// Bounds the list of times that a key keeps.
const MAX_FAILURES: u64 = 1_000;
/// Bounds the list of pieces that a streamed answer is made of.
const MAX_CHUNKS: u64 = 100_000;
/// One GiB: more than any body limit that one would want to provoke.
const MAX_BYTES: u64 = 1 << 30;
/// How often `/flaky` fails before it succeeds: a retry policy of three attempts just makes it.
const FLAKY_FAILURES: usize = 2;
/// What a flaky path fails with unless `status` says otherwise.
const FLAKY_STATUS: u64 = 503;
/// The pause between chunks unless `interval_ms` says otherwise: long enough to be seen.
const INTERVAL_MS: u64 = 50;

/// A value in the path or the query that cannot be used; the client gets it as a 400.
#[derive(Debug, PartialEq)]
pub(crate) struct Unusable {
    expected: String,
    got: String,
}

impl Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {:?}", self.expected, self.got)
    }
}

/// The step that the path of this request asks for.
pub(crate) fn step_for(head: &Parts) -> Result<Step, Unusable> {
    let query = head.uri.query().unwrap_or_default();
    let segments: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    match segments.as_slice() {
        ["health"] => Ok(health()),
        ["status", code] => status(code, query),
        ["delay", wait] => {
            let wait = number(wait, "milliseconds", 0..=MAX_WAIT_MS)?;
            Ok(Step::Echo.after(Duration::from_millis(wait)))
        }
        ["flaky"] => flaky(head, FLAKY_FAILURES),
        ["fail", failures] => {
            let failures = number(failures, "a number of failures", 0..=MAX_FAILURES)?;
            flaky(head, failures as usize)
        }
        ["stream", chunks] => stream(chunks, query),
        ["bytes", count] => Ok(Step::Bytes(
            number(count, "a number of bytes", 0..=MAX_BYTES)? as usize,
        )),
        ["truncate"] => Ok(Step::Truncate),
        ["reset"] => Ok(Step::CloseAtHead),
        _ => Ok(Step::Echo),
    }
}

fn health() -> Step {
    Step::respond(200, r#"{"status":"ok"}"#).with_header("content-type", "application/json")
}

fn status(code: &str, query: &str) -> Result<Step, Unusable> {
    let status = status_number(code)?;
    let Some(retry_after) = query_value(query, "retry_after") else {
        return Ok(Step::Status(status));
    };
    let value = HeaderValue::from_str(&retry_after).map_err(|_| Unusable {
        expected: "retry_after to be a legal header value".to_owned(),
        got: retry_after.to_string(),
    })?;
    Ok(Step::Respond {
        status,
        headers: HeaderMap::from_iter([(header::RETRY_AFTER, value)]),
        body: bytes::Bytes::new(),
    })
}

fn flaky(head: &Parts, failures: usize) -> Result<Step, Unusable> {
    let query = head.uri.query().unwrap_or_default();
    let status = match query_value(query, "status") {
        Some(code) => status_number(&code)?,
        None => FLAKY_STATUS as u16,
    };
    let named = query_value(query, "key").map(|key| key.into_owned());
    let key = named.unwrap_or_else(|| {
        let value = head.headers.get("x-flaky-key");
        value.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    });
    Ok(Step::Flaky {
        // The path is part of it: /flaky and /fail/5 count apart even without a key.
        key: format!("{} {key}", head.uri.path()),
        failures,
        status,
    })
}

fn stream(chunks: &str, query: &str) -> Result<Step, Unusable> {
    let chunks = number(chunks, "a number of chunks", 0..=MAX_CHUNKS)?;
    let interval = match query_value(query, "interval_ms") {
        Some(text) => number(&text, "interval_ms", 0..=MAX_WAIT_MS)?,
        None => INTERVAL_MS,
    };
    Ok(Step::Stream {
        chunks: chunks as usize,
        interval: Duration::from_millis(interval),
    })
}

fn status_number(text: &str) -> Result<u16, Unusable> {
    let range = u64::from(*STATUSES.start())..=u64::from(*STATUSES.end());
    Ok(number(text, "a status", range)? as u16)
}

fn number(text: &str, what: &str, range: RangeInclusive<u64>) -> Result<u64, Unusable> {
    let parsed = text.parse().ok().filter(|value| range.contains(value));
    parsed.ok_or_else(|| Unusable {
        expected: format!("{what} from {} to {}", range.start(), range.end()),
        got: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step_of(target: &str) -> Result<Step, Unusable> {
        let (head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
        step_for(&head)
    }

    #[test]
    fn paths_without_a_meaning_are_echoed() {
        for target in ["/", "/hello", "/status", "/health/deep", "/bytes/1/2", "//"] {
            assert!(matches!(step_of(target), Ok(Step::Echo)), "{target}");
        }
    }

    #[test]
    fn bad_numbers_say_what_is_expected() {
        for (target, expected) in [
            (
                "/status/99",
                r#"expected a status from 200 to 599, got "99""#,
            ),
            ("/status/", r#"expected a status from 200 to 599, got """#),
            (
                "/delay/-1",
                r#"expected milliseconds from 0 to 600000, got "-1""#,
            ),
            (
                "/fail/2?status=x",
                r#"expected a status from 200 to 599, got "x""#,
            ),
            (
                "/stream/2?interval_ms=",
                r#"expected interval_ms from 0 to 600000, got """#,
            ),
            (
                "/bytes/1e3",
                r#"expected a number of bytes from 0 to 1073741824, got "1e3""#,
            ),
            (
                "/fail/x",
                r#"expected a number of failures from 0 to 1000, got "x""#,
            ),
        ] {
            let unusable = step_of(target).expect_err(target);
            assert_eq!(unusable.to_string(), expected, "{target}");
        }
    }

    #[test]
    fn keys_of_flaky_paths_are_decoded_and_belong_to_the_path() {
        let Ok(Step::Flaky { key, failures, .. }) = step_of("/fail/5?key=a%20b") else {
            panic!("not flaky");
        };
        assert_eq!((key.as_str(), failures), ("/fail/5 a b", 5));
    }
}
