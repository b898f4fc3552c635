//! The span of a request as a whole, by OpenTelemetry's conventions for HTTP servers.

use http::uri::Authority;
use http::{Method, Uri};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::attributes::Attributes;
use super::facts::{Ending, RequestFacts};
use super::render::{bare, failed, path_and_query, protocol_version, with_remote_parent};
use super::request_trace::Trace;
use crate::telemetry::words;

/// Codes of what is the client's doing, and so no error of the server's. With `client-closed` the client has given its
/// request up, which the conventions do not call an error of the call.
const OF_THE_CLIENT: [&str; 8] = [
    "bad-request",
    "body-too-large",
    "client-closed",
    "head-too-large",
    "no-route",
    "request-body",
    "request-body-timeout",
    "target-too-long",
];

/// The server's span.
pub(super) fn render(trace: &Trace) -> OtlpSpan {
    let (started, request) = (trace.started.1, &trace.request);
    let ending = trace.ending.as_ref();
    let end = ending.map_or(started, |(end, _)| *end);
    let mut attributes = Attributes::default();
    describe(&mut attributes, trace);
    let mut failure = None;
    if let Some((_, ending)) = ending {
        failure = outcome(&mut attributes, ending);
    }
    let route = ending.and_then(|(_, ending)| ending.route.as_deref());
    let parent = trace.parent.map(|parent| parent.0);
    let span = bare(trace, trace.context.span_id, parent, (started, end));
    OtlpSpan {
        name: named(words::method(&request.method), route),
        kind: SpanKind::Server.into(),
        flags: match parent {
            Some(_) => with_remote_parent(span.flags),
            None => span.flags,
        },
        attributes: attributes.into_list(),
        status: failure.and_then(|_| failed("")),
        ..span
    }
}

/// `{method} {target}`, with a target of which there are few.
pub(super) fn named(method: &str, target: Option<&str>) -> String {
    let method = if method == "_OTHER" { "HTTP" } else { method };
    match target {
        Some(target) => format!("{method} {target}"),
        None => method.to_owned(),
    }
}

/// `http.request.method`, and the original where that says `_OTHER`.
pub(super) fn method(attributes: &mut Attributes, method: &Method) {
    let known = words::method(method);
    attributes.text("http.request.method", known);
    if known != method.as_str() {
        attributes.text("http.request.method_original", method);
    }
}

fn describe(attributes: &mut Attributes, trace: &Trace) {
    let request = &trace.request;
    method(attributes, &request.method);
    let (path, query) = path_and_query(&request.target, &trace.redact);
    attributes.text("url.scheme", request.scheme);
    attributes.text("url.path", path);
    if let Some(query) = query {
        attributes.text("url.query", query);
    }
    if let Some(authority) = authority(request) {
        let host = authority.host();
        attributes.text("server.address", host.trim_matches(['[', ']']));
        let usual = if request.scheme == "https" { 443 } else { 80 };
        attributes.number("server.port", authority.port_u16().unwrap_or(usual));
    }
    attributes.text(
        "network.protocol.version",
        protocol_version(request.version),
    );
    attributes.text(
        "network.peer.address",
        request.peer.ip().to_canonical().to_string(),
    );
    attributes.number("network.peer.port", request.peer.port());
    attributes.text(
        "client.address",
        request.client.ip().to_canonical().to_string(),
    );
    if request.client.port() != 0 {
        attributes.number("client.port", request.client.port());
    }
    if let Some(agent) = &request.user_agent {
        attributes.text(
            "user_agent.original",
            String::from_utf8_lossy(agent.as_bytes()),
        );
    }
    if !request.request_id.is_empty() {
        attributes.text("portcullis.request.id", &request.request_id);
    }
}

/// What came of it; what kept it from ending well, if that is the server's matter.
fn outcome<'a>(attributes: &mut Attributes, ending: &'a Ending) -> Option<&'a str> {
    if let Some(route) = &ending.route {
        attributes.text("portcullis.route", route);
    }
    if let Some(status) = ending.status {
        attributes.number("http.response.status_code", status);
    }
    attributes.number("http.request.body.size", ending.bytes_in);
    attributes.number("http.response.body.size", ending.bytes_out);
    if let Some(code) = ending.error {
        attributes.text("portcullis.error", code);
    }
    let status = ending.status.filter(|status| *status >= 500);
    match (ending.error, status) {
        (Some(code), _) if !OF_THE_CLIENT.contains(&code) => {
            attributes.text("error.type", code);
            Some(code)
        }
        (_, Some(status)) => {
            attributes.text("error.type", status.to_string());
            Some("")
        }
        _ => None,
    }
}

fn authority(request: &RequestFacts) -> Option<Authority> {
    let of_target = Uri::authority(&request.target).cloned();
    of_target.or_else(|| {
        let host = request.host.as_ref()?;
        Authority::try_from(host.as_bytes()).ok()
    })
}
