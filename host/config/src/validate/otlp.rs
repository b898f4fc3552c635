//! The telemetry that is sent out: that the collector can be reached as it is written, and that there is one.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, header};

use super::fields::{by_name, field_name, header_value, is_reserved};
use super::{Checks, HOUR, all, present, upstream_tls};
use crate::address::{self, Scheme};
use crate::file::{MetricsPushFile, OtlpFile, TracingFile};
use crate::otlp::{Otlp, OtlpProtocol, Tracing};
use crate::part::Part;
use crate::path::join_key;
use crate::secret::{Secret, SecretFile, SecretSources};
use crate::upstream::Endpoint;

const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn otlp(
    part: Part<OtlpFile>,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Otlp> {
    let file = checks.read("otlp", part)?;
    let protocol = checks.read("otlp.protocol", file.protocol);
    let address = checks.text("otlp.endpoint", file.endpoint, |text| {
        collector(text, protocol.unwrap_or_default())
    });
    let scheme = address.as_ref().map(|(scheme, _, _)| *scheme);
    let tls = upstream_tls::tls("otlp.tls", file.tls, scheme, sources.base, checks);
    let headers = by_name(
        "otlp.headers",
        file.headers,
        checks,
        sent_name,
        |path, part, checks| header(path, part, sources, checks),
    );
    let timeout = checks.duration("otlp.timeout", file.timeout, TEN_MILLISECONDS, MINUTE);
    let service_name = checks.read("otlp.service_name", file.service_name);
    let resource = resource(file.resource, checks);
    let (_, endpoint, path) = address?;
    Some(Otlp {
        endpoint,
        path,
        protocol: protocol?,
        tls: tls?,
        headers: headers?,
        timeout: timeout?,
        service_name: service_name?,
        resource: resource?,
    })
}

/// `Some(None)` where there is none.
pub(super) fn tracing(
    part: Option<Part<TracingFile>>,
    has_collector: bool,
    checks: &mut Checks,
) -> Option<Option<Tracing>> {
    let Some(part) = part else {
        return Some(None);
    };
    needs_collector("tracing", has_collector, checks);
    let file = checks.read("tracing", part)?;
    let sample = checks.read("tracing.sample", file.sample);
    let follow = checks.read("tracing.follow", file.follow);
    Some(Some(Tracing {
        sample: sample?,
        follow: follow?,
    }))
}

/// The interval; `Some(None)` where metrics are not pushed.
pub(super) fn push(
    part: Option<Part<MetricsPushFile>>,
    has_collector: bool,
    checks: &mut Checks,
) -> Option<Option<Duration>> {
    let interval = part.map(|part| {
        needs_collector("metrics.push", has_collector, checks);
        let file = checks.read("metrics.push", part)?;
        let second = Duration::from_secs(1);
        checks.duration("metrics.push.interval", file.interval, second, HOUR)
    });
    present(interval)
}

fn needs_collector(path: &str, has_collector: bool, checks: &mut Checks) {
    if !has_collector {
        checks.add(
            path,
            "needs a collector: write otlp with its endpoint, or remove this",
        );
    }
}

/// `http://host[:port]`, or `https://`; with a path where the protocol has one.
fn collector(text: &str, protocol: OtlpProtocol) -> Result<(Scheme, Endpoint, String), String> {
    let after_scheme = text.find("://").map_or(0, |at| at + 3);
    let (place, path) = match text[after_scheme..].find('/') {
        Some(at) => text.split_at(after_scheme + at),
        None => (text, ""),
    };
    let path = path.trim_end_matches('/');
    if !path.is_empty() {
        if protocol == OtlpProtocol::Grpc {
            return Err(
                "an endpoint of grpc has no path: remove it, or write protocol: http".into(),
            );
        }
        if path.ends_with("/v1/traces") || path.ends_with("/v1/metrics") {
            return Err("v1/traces and v1/metrics are added: remove it".to_owned());
        }
        address::path_prefix(path).map_err(|problem| format!("the path {problem}"))?;
    }
    let (scheme, mut endpoint) = address::endpoint(place)?;
    if matches!(
        address::host_and_port(&place[after_scheme..]),
        Ok((_, None))
    ) {
        endpoint.port = protocol.default_port();
    }
    Ok((scheme, endpoint, path.to_owned()))
}

/// The name of a field that the exporter does not set itself.
fn sent_name(text: &str) -> Result<HeaderName, String> {
    let name = field_name(text)?;
    let is_own = is_reserved(&name)
        || [header::HOST, header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(&name)
        || name.as_str().starts_with("grpc-");
    if is_own {
        return Err("is the exporter's own: remove it here".to_owned());
    }
    Ok(name)
}

fn header(
    path: &str,
    part: Part<SecretFile>,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Secret> {
    let written = checks.read(path, part)?;
    let resolved = sources.resolve(&written).and_then(|secret| {
        header_value(secret.expose())?;
        Ok(secret)
    });
    checks.accept(path, resolved)
}

fn resource(
    part: Part<BTreeMap<String, Part<String>>>,
    checks: &mut Checks,
) -> Option<BTreeMap<String, String>> {
    let attributes = checks.read("otlp.resource", part)?;
    all(attributes.into_iter().map(|(name, part)| {
        let path = join_key("otlp.resource", &name);
        let value = checks.read(&path, part)?;
        if name == "service.name" {
            checks.add(path, "is written as service_name");
            return None;
        }
        Some((name, value))
    }))
}
