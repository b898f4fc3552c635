//! Takes a step: from a request that was read to the answer, or to a closed connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Display};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::body::{Piece, PiecewiseBody};
use crate::connection::Upstream;
use crate::flaky::Attempt;
use crate::step::Step;

/// The size of the pieces that `/bytes/{n}` is sent in.
const BLOCK: &[u8] = &[b'x'; 64 * 1024];

/// An answer as hyper sends it.
pub(crate) type Answer = Response<PiecewiseBody>;

/// The connection is to be closed without an answer, as the step demands.
#[derive(Debug)]
pub(crate) struct ClosedOnPurpose;

/// What an echo tells about the request.
#[derive(Serialize)]
struct Echo<'a> {
    service: &'a str,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: BTreeMap<&'a str, Vec<String>>,
    body: String,
    body_encoding: &'a str,
    body_bytes: usize,
}

/// Takes the step for a request with this head and body.
pub(crate) async fn take(
    mut step: Step,
    upstream: &Upstream,
    head: &Parts,
    body: &Bytes,
) -> Result<Answer, ClosedOnPurpose> {
    while let Step::Delay(delay, inner) = step {
        sleep(delay).await;
        step = *inner;
    }
    match step {
        Step::Echo | Step::Delay(..) => Ok(echo(&upstream.name, head, body)),
        Step::Status(status) => Ok(plain_status(&upstream.name, status)),
        Step::Respond {
            status,
            headers,
            body,
        } => Ok(scripted(status, headers, body)),
        Step::Flaky {
            key,
            failures,
            status,
        } => Ok(flaky(upstream, &key, failures, status)),
        Step::Stream { chunks, interval } => Ok(streamed(chunks, interval)),
        Step::Bytes(count) => Ok(Response::new(bytes(count))),
        Step::Truncate => Ok(truncated()),
        Step::Close | Step::CloseAtHead => Err(ClosedOnPurpose),
        Step::Hang => match std::future::pending::<Infallible>().await {},
    }
}

/// An answer with a JSON body.
pub(crate) fn json_answer(status: StatusCode, value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).expect("our answers have string keys and no failing impl");
    let mut answer = Response::new(PiecewiseBody::with_length([Bytes::from(text)]));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// An answer that says in JSON what is wrong.
pub(crate) fn error_answer(status: StatusCode, message: impl Display) -> Answer {
    json_answer(status, &json!({ "error": message.to_string() }))
}

fn echo(service: &str, head: &Parts, body: &Bytes) -> Answer {
    let (text, encoding) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(body), "base64"),
    };
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(value);
    }
    let echo = Echo {
        service,
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers,
        body: text,
        body_encoding: encoding,
        body_bytes: body.len(),
    };
    json_answer(StatusCode::OK, &echo)
}

fn plain_status(service: &str, status: u16) -> Answer {
    let code = status_code(status);
    // RFC 9110 §15.3.5, §15.3.6 and §15.4.5: these have no content.
    if matches!(status, 204 | 205 | 304) {
        let mut answer = Response::new(PiecewiseBody::default());
        *answer.status_mut() = code;
        return answer;
    }
    json_answer(code, &json!({ "service": service, "status": status }))
}

fn flaky(upstream: &Upstream, key: &str, failures: usize, status: u16) -> Answer {
    let name = &upstream.name;
    match upstream.flaky_keys.attempt(key, failures, Instant::now()) {
        Attempt::Fails(nth) => json_answer(
            status_code(status),
            &json!({ "service": name, "error": format!("planned failure {nth} of {failures}"), "attempt": nth }),
        ),
        Attempt::Succeeds(times) => {
            let since_first = times.iter().map(|time| *time - times[0]);
            let times_ms: Vec<f64> = since_first.map(milliseconds).collect();
            json_answer(
                StatusCode::OK,
                &json!({ "service": name, "attempts": times.len(), "attempt_times_ms": times_ms }),
            )
        }
    }
}

/// Milliseconds with one digit after the point: enough to see a backoff.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn scripted(status: u16, headers: HeaderMap, body: Bytes) -> Answer {
    let mut answer = Response::new(PiecewiseBody::with_length([body]));
    *answer.status_mut() = status_code(status);
    *answer.headers_mut() = headers;
    answer
}

fn streamed(chunks: usize, interval: Duration) -> Answer {
    let pieces = (1..=chunks).flat_map(|nth| {
        let data = Piece::Data(format!("chunk {nth} of {chunks}\n").into());
        let is_last = nth == chunks;
        let pause = if is_last || interval.is_zero() {
            Piece::Flush
        } else {
            Piece::Wait(interval)
        };
        [data, pause]
    });
    Response::new(PiecewiseBody::without_length(pieces))
}

fn bytes(count: usize) -> PiecewiseBody {
    let whole = std::iter::repeat_n(Bytes::from_static(BLOCK), count / BLOCK.len());
    let rest = Bytes::from_static(&BLOCK[..count % BLOCK.len()]);
    PiecewiseBody::with_length(whole.chain((!rest.is_empty()).then_some(rest)))
}

fn truncated() -> Answer {
    let mut answer = Response::new(PiecewiseBody::without_length([
        Piece::Data(Bytes::from_static(b"0123456789")),
        Piece::Flush,
        Piece::BreakOff,
    ]));
    let length = HeaderValue::from_static("100");
    answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    answer
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("paths and scripts only let statuses from 200 to 599 pass")
}

impl Display for ClosedOnPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for ClosedOnPurpose {}
