//! What was noted, as spans of OTLP by OpenTelemetry's conventions for HTTP (v1.44, docs/http/http-spans.md).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use http::{Uri, Version};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status};

use super::attributes::{Attributes, cut};
use super::facts::{AttemptEnd, AttemptFacts, HookEnd, HookFacts, Span, What};
use super::request_trace::Trace;
use super::server_span;
use crate::access_log::redaction;
use crate::telemetry::words;

/// What the flags of a span say beside those of W3C (opentelemetry.proto.trace.v1.SpanFlags).
const KNOWS_IF_PARENT_IS_REMOTE: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// All spans of a trace, the server's first.
pub(in crate::telemetry) fn render(trace: &Trace) -> Vec<OtlpSpan> {
    let mut spans = Vec::with_capacity(1 + trace.spans.len());
    spans.push(server_span::render(trace));
    let children = trace.spans.iter().map(|span| match &span.what {
        What::Attempt(facts, end) => attempt(trace, span, facts, *end),
        What::Hook(facts, end) => hook(trace, span, facts, end),
    });
    spans.extend(children);
    spans
}

/// One span without what is its own.
pub(super) fn bare(
    trace: &Trace,
    id: u64,
    parent: Option<u64>,
    (start, end): (Instant, Instant),
) -> OtlpSpan {
    let state: Vec<&str> = trace
        .state
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    OtlpSpan {
        trace_id: trace.context.trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        trace_state: state.join(","),
        flags: u32::from(trace.context.flags()) | KNOWS_IF_PARENT_IS_REMOTE,
        start_time_unix_nano: date(trace, start),
        end_time_unix_nano: date(trace, end),
        ..OtlpSpan::default()
    }
}

/// The flags of a span whose parent is elsewhere.
pub(super) fn with_remote_parent(flags: u32) -> u32 {
    flags | PARENT_IS_REMOTE
}

/// An instant of the trace in nanoseconds since 1970.
fn date(trace: &Trace, instant: Instant) -> u64 {
    let (wall, started) = trace.started;
    let date = match instant.checked_duration_since(started) {
        Some(after) => wall + after,
        None => wall - (started - instant),
    };
    let since = date.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.as_ref().map_or(0, Duration::as_nanos);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Said of what did not end well; the rest is left unset.
pub(super) fn failed(message: &str) -> Option<Status> {
    Some(Status {
        code: StatusCode::Error.into(),
        message: cut(message).to_owned(),
    })
}

fn attempt(trace: &Trace, span: &Span, facts: &AttemptFacts, end: AttemptEnd) -> OtlpSpan {
    let method = words::method(&facts.method);
    let mut attributes = Attributes::default();
    server_span::method(&mut attributes, &facts.method);
    attributes.text("url.full", url(facts, &trace.redact));
    attributes.text("server.address", &facts.endpoint.host);
    attributes.number("server.port", facts.endpoint.port);
    if facts.number > 1 {
        attributes.number("http.request.resend_count", facts.number - 1);
    }
    attributes.text("portcullis.upstream", &facts.upstream);
    attributes.text("portcullis.endpoint", &facts.address);
    let mut status = None;
    match end {
        AttemptEnd::Answered(code, version) => {
            attributes.number("http.response.status_code", code);
            attributes.text("network.protocol.version", protocol_version(version));
            if code >= 400 {
                attributes.text("error.type", code.to_string());
                status = failed("");
            }
        }
        AttemptEnd::Failed(failure) => {
            attributes.text("error.type", failure);
            status = failed("");
        }
        AttemptEnd::Cancelled => {}
    }
    OtlpSpan {
        name: server_span::named(method, Some(&facts.upstream)),
        kind: SpanKind::Client.into(),
        attributes: attributes.into_list(),
        status,
        ..child(trace, span)
    }
}

fn hook(trace: &Trace, span: &Span, facts: &HookFacts, end: &HookEnd) -> OtlpSpan {
    let mut attributes = Attributes::default();
    attributes.text("portcullis.policy", &facts.policy);
    attributes.text("portcullis.phase", facts.phase);
    let mut status = None;
    match end {
        HookEnd::Verdict(verdict) => attributes.text("portcullis.verdict", verdict),
        HookEnd::Fault(kind, message) => {
            attributes.text("portcullis.fault", kind);
            attributes.text("error.type", kind);
            status = failed(message);
        }
        HookEnd::NotCalled => {
            attributes.text("portcullis.fault", "circuit-open");
            attributes.text("error.type", "circuit-open");
            status = failed("");
        }
        HookEnd::Cancelled => {}
    }
    OtlpSpan {
        name: format!("{} {}", facts.phase, facts.policy),
        kind: SpanKind::Internal.into(),
        attributes: attributes.into_list(),
        status,
        ..child(trace, span)
    }
}

fn child(trace: &Trace, span: &Span) -> OtlpSpan {
    bare(
        trace,
        span.id.0,
        Some(span.parent.0),
        (span.start, span.end),
    )
}

fn url(facts: &AttemptFacts, redact: &BTreeSet<String>) -> String {
    let authority = facts.endpoint.authority();
    let (path, query) = path_and_query(&facts.target, redact);
    let scheme = facts.scheme;
    match query {
        Some(query) => format!("{scheme}://{authority}{path}?{query}"),
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// The path, and the query without secrets.
pub(super) fn path_and_query<'a>(
    target: &'a Uri,
    redact: &BTreeSet<String>,
) -> (&'a str, Option<Cow<'a, str>>) {
    let query = target.query().map(|query| redaction::query(query, redact));
    (target.path(), query)
}

/// As `network.protocol.version` has it.
pub(super) fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
