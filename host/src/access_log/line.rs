//! An entry as a line of JSON. Field names are stable, and all are always there; what is not known is
//! `null`.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use http::header::HeaderValue;
use http::{Uri, Version};
use portcullis_config::AccessLog;

use super::entry::{Entry, Outcome, Way};
use super::redaction;
use crate::timestamp;

/// Longer values are cut: a line stays a line that tools accept.
const MAX_VALUE_BYTES: usize = 2048;

/// Appends the line of a request that began at `started`.
pub(super) fn render(
    out: &mut Vec<u8>,
    config: &AccessLog,
    started: SystemTime,
    entry: &Entry,
    outcome: &Outcome<'_>,
) {
    out.extend_from_slice(b"{\"time\":\"");
    timestamp::write(out, started);
    out.push(b'"');
    let way = entry.way();
    identity(out, &way);
    request(out, config, entry);
    response(out, &way, outcome);
    policies(out, &way);
    drop(way);
    headers(out, config, entry);
    out.extend_from_slice(b"}\n");
}

fn identity(out: &mut Vec<u8>, way: &Way) {
    text(out, "request_id", Some(&way.request_id));
    text(out, "trace_id", way.traceparent.as_ref().and_then(trace_id));
    key(out, "client");
    // A vector takes all bytes.
    let _ = write!(out, "\"{}\"", way.client.ip().to_canonical());
    number(out, "client_port", u64::from(way.client.port()));
}

fn request(out: &mut Vec<u8>, config: &AccessLog, entry: &Entry) {
    text(out, "scheme", Some(entry.scheme));
    text(out, "protocol", Some(protocol(entry.version)));
    text(out, "method", Some(entry.method.as_str()));
    let authority = entry
        .target
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let host = entry.host.as_ref().map(HeaderValue::as_bytes);
    bytes(out, "host", authority.or(host).map(without_user));
    text(out, "path", Some(path(&entry.target)));
    let query = entry.target.query();
    let query = query.map(|query| redaction::query(query, &config.redact));
    text(out, "query", query.as_deref());
    bytes(
        out,
        "user_agent",
        entry.user_agent.as_ref().map(HeaderValue::as_bytes),
    );
    let referer = entry.referer.as_ref();
    let referer = referer.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let referer = referer.map(|url| redaction::url(&url, &config.redact));
    text(out, "referer", referer.as_deref());
}

fn response(out: &mut Vec<u8>, way: &Way, outcome: &Outcome<'_>) {
    text(out, "route", outcome.route);
    text(out, "upstream", way.upstream.as_deref());
    text(out, "endpoint", way.endpoint.as_deref());
    number(out, "attempts", u64::from(way.attempts));
    number(out, "status", u64::from(outcome.status.as_u16()));
    text(out, "error", outcome.error);
    number(out, "bytes_in", outcome.bytes_in);
    number(out, "bytes_out", outcome.bytes_out);
    number(out, "total_us", micros(outcome.total));
    match outcome.first_byte {
        Some(time) => number(out, "first_byte_us", micros(time)),
        None => text(out, "first_byte_us", None),
    }
    number(out, "upstream_us", micros(way.upstream_time));
}

fn policies(out: &mut Vec<u8>, way: &Way) {
    let time = way.policies.iter().map(|asked| asked.time).sum();
    number(out, "policies_us", micros(time));
    key(out, "policies");
    out.push(b'[');
    for (index, asked) in way.policies.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        out.extend_from_slice(b"\"policy\":");
        string(out, asked.policy.as_bytes());
        text(out, "phase", Some(asked.phase.name()));
        text(out, "verdict", Some(asked.verdict));
        number(out, "us", micros(asked.time));
        out.push(b'}');
    }
    out.push(b']');
}

fn headers(out: &mut Vec<u8>, config: &AccessLog, entry: &Entry) {
    if config.headers.is_empty() {
        return;
    }
    key(out, "headers");
    out.push(b'{');
    for (index, (name, value)) in config.headers.iter().zip(&entry.headers).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name.as_str().as_bytes());
        out.push(b':');
        match value {
            Some(_) if config.redact.contains(name.as_str()) => {
                string(out, redaction::REDACTED.as_bytes());
            }
            Some(value) => string(out, value.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Asterisk and authority form (RFC 9112 §3.2) have none.
fn path(target: &Uri) -> &str {
    target.path_and_query().map_or("", |target| target.path())
}

/// An authority may begin with credentials.
fn without_user(authority: &[u8]) -> &[u8] {
    let user = authority.iter().rposition(|byte| *byte == b'@');
    user.map_or(authority, |at| &authority[at + 1..])
}

/// The second of `version-trace-parent-flags`, if it is one (W3C Trace Context §3.2.2.3).
fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    let id = traceparent.to_str().ok()?.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Every field but the first of an object.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    // A vector takes all bytes.
    let _ = write!(out, "{value}");
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    bytes(out, name, value.map(str::as_bytes));
}

fn bytes(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    key(out, name);
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// As RFC 8259 §7 wants it; what is no UTF-8 becomes U+FFFD.
fn string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let cut = &value[..value.len().min(MAX_VALUE_BYTES)];
    for chunk in cut.utf8_chunks() {
        escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    let must_escape = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f);
    let mut rest = text;
    while let Some(place) = rest.iter().position(must_escape) {
        out.extend_from_slice(&rest[..place]);
        let _ = match rest[place] {
            byte @ (b'"' | b'\\') => out.write_all(&[b'\\', byte]),
            byte => write!(out, "\\u{byte:04x}"),
        };
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use http::{HeaderName, Request, StatusCode};
    use portcullis_config::LogTarget;
    use serde_json::{Value, json};

    use super::*;
    use crate::client::Client;
    use crate::wasm::Phase;

    fn config(headers: &[&'static str]) -> AccessLog {
        let names = headers.iter().map(|name| HeaderName::from_static(name));
        AccessLog {
            target: LogTarget::Stdout,
            sample: 1.0,
            headers: names.collect(),
            redact: BTreeSet::from(["token", "authorization"].map(str::to_owned)),
        }
    }

    fn outcome() -> Outcome<'static> {
        Outcome {
            route: None,
            status: StatusCode::OK,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            first_byte: None,
            total: Duration::from_micros(77),
        }
    }

    fn rendered(config: &AccessLog, entry: &Entry, outcome: &Outcome<'_>) -> (String, Value) {
        let mut out = Vec::new();
        let started = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000);
        render(&mut out, config, started, entry, outcome);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_line_has_every_field_under_its_name() {
        let config = config(&["x-tenant", "authorization", "x-gone"]);
        let request = Request::builder()
            .method("POST")
            .uri("/a/b?x=1&token=geheim")
            .header("host", "api.example.com")
            .header("user-agent", "curl/8")
            .header("referer", "https://a.b/c?token=geheim&y=2")
            .header(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            )
            .header("authorization", "Bearer geheim")
            .header("cookie", "session=geheim")
            .header("x-tenant", "t1");
        let client = Client::new("192.0.2.7:4711".parse().unwrap(), "https");
        let entry = Entry::new(&client, "00ff", &request.body(()).unwrap(), &config.headers);
        for (endpoint, micros) in [("10.0.0.1:80", 10), ("10.0.0.2:80", 20)] {
            entry.attempts(&Arc::from("u"), &Arc::from(endpoint));
            entry.attempted(Duration::from_micros(micros));
        }
        entry.asked(
            &Arc::from("limit"),
            Phase::OnRequest,
            "next",
            Duration::from_micros(3),
        );
        entry.asked(
            &Arc::from("retry"),
            Phase::OnAttempt,
            "deadline",
            Duration::from_micros(4),
        );
        let ended = Outcome {
            route: Some("r"),
            error: Some("client-closed"),
            bytes_in: 12,
            bytes_out: 34,
            first_byte: Some(Duration::from_micros(55)),
            ..outcome()
        };
        let (text, value) = rendered(&config, &entry, &ended);
        assert!(!text.contains("geheim"), "{text}");
        assert_eq!(
            value,
            json!({
                "time": "1970-01-01T00:00:01.500000Z",
                "request_id": "00ff",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "client": "192.0.2.7",
                "client_port": 4711,
                "scheme": "https",
                "protocol": "HTTP/1.1",
                "method": "POST",
                "host": "api.example.com",
                "path": "/a/b",
                "query": "x=1&token=[redacted]",
                "user_agent": "curl/8",
                "referer": "https://a.b/c?token=[redacted]&y=2",
                "bytes_in": 12,
                "route": "r",
                "upstream": "u",
                "status": 200,
                "error": "client-closed",
                "bytes_out": 34,
                "endpoint": "10.0.0.2:80",
                "attempts": 2,
                "total_us": 77,
                "first_byte_us": 55,
                "upstream_us": 30,
                "policies_us": 7,
                "policies": [
                    { "policy": "limit", "phase": "on-request", "verdict": "next", "us": 3 },
                    { "policy": "retry", "phase": "on-attempt", "verdict": "deadline", "us": 4 },
                ],
                "headers": { "x-tenant": "t1", "authorization": "[redacted]", "x-gone": null },
            })
        );
    }

    #[test]
    fn what_a_client_sends_cannot_break_a_line_or_make_it_long() {
        let agent = HeaderValue::from_bytes(b"a\"b\\c\td\xff\xc3\xa4").unwrap();
        let mut request = Request::new(());
        *request.uri_mut() = format!("/{}", "x".repeat(5000)).parse().unwrap();
        request.headers_mut().insert("user-agent", agent);
        let host = HeaderValue::from_static("user:geheim@a");
        request.headers_mut().insert("host", host);
        request
            .headers_mut()
            .insert("traceparent", HeaderValue::from_static("00-1-2-3"));
        let client = Client::new("[::ffff:192.0.2.7]:1".parse().unwrap(), "http");
        let config = config(&[]);
        let entry = Entry::new(&client, "1", &request, &config.headers);
        let (text, value) = rendered(&config, &entry, &outcome());
        assert!(text.len() < 3000, "{}", text.len());
        assert_eq!(value["user_agent"], "a\"b\\c\td\u{fffd}ä");
        assert_eq!(value["host"], "a");
        assert_eq!(value["client"], "192.0.2.7");
        for unknown in ["trace_id", "query", "route", "error", "first_byte_us"] {
            assert_eq!(value[unknown], Value::Null, "{unknown}");
        }
    }
}
