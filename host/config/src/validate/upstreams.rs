//! Upstreams: their endpoints, how they are spoken to, and timeouts.

use std::path::Path;
use std::time::Duration;

use super::balancing::{endpoints, load_balancing};
use super::resilience::{circuit, health_check, outlier_detection, retry_budget};
use super::upstream_tls::tls;
use super::{Checks, HOUR, MILLISECOND, present};
use crate::file::{TimeoutsFile, UpstreamFile};
use crate::part::Part;
use crate::path::join_key;
use crate::resilience::Probe;
use crate::units::DurationText;
use crate::upstream::{Protocol, Timeouts, Upstream};

/// `base` is what relative paths of files start from.
pub(super) fn upstream(
    path: &str,
    file: UpstreamFile,
    base: &Path,
    checks: &mut Checks,
) -> Option<Upstream> {
    let endpoints = endpoints(&join_key(path, "endpoints"), file.endpoints, checks);
    let load_balancing = load_balancing(
        &join_key(path, "load_balancing"),
        file.load_balancing,
        checks,
    );
    let warm_up = checks.duration(
        &join_key(path, "warm_up"),
        file.warm_up,
        Duration::ZERO,
        HOUR,
    );
    let at = |key: &str| join_key(path, key);
    let panic_threshold = checks.read(&at("panic_threshold"), file.panic_threshold);
    let health_check = file
        .health_check
        .map(|part| health_check(&at("health_check"), part, checks));
    let outlier_detection = file
        .outlier_detection
        .map(|part| outlier_detection(&at("outlier_detection"), part, checks));
    let circuit = circuit(&at("circuit"), file.circuit, checks);
    let retry_budget = retry_budget(&at("retry_budget"), file.retry_budget, checks);
    let protocol = checks.read(&at("protocol"), file.protocol);
    let scheme = endpoints.as_ref().map(|(scheme, _)| *scheme);
    let tls = tls(&at("tls"), file.tls, scheme, base, checks);
    let timeouts_path = join_key(path, "timeouts");
    let timeouts = checks
        .read(&timeouts_path, file.timeouts)
        .and_then(|file| timeouts(&timeouts_path, file, checks));
    let max_idle_connections = checks.read(
        &join_key(path, "max_idle_connections"),
        file.max_idle_connections,
    );
    if let (Some(Some(_)), Some(Some(check))) = (&tls, &health_check)
        && matches!(check.probe, Probe::Grpc { .. })
        && protocol == Some(Protocol::Http1)
    {
        let message = "gRPC over https:// needs protocol: http2";
        checks.add(join_key(&at("health_check"), "type"), message);
    }
    Some(Upstream {
        endpoints: endpoints?.1,
        load_balancing: load_balancing?,
        warm_up: warm_up?,
        panic_threshold: panic_threshold?,
        health_check: present(health_check)?,
        outlier_detection: present(outlier_detection)?,
        circuit: circuit?,
        retry_budget: retry_budget?,
        protocol: protocol?,
        tls: tls?,
        timeouts: timeouts?,
        max_idle_connections: max_idle_connections?,
    })
}

fn timeouts(path: &str, file: TimeoutsFile, checks: &mut Checks) -> Option<Timeouts> {
    let mut timeout = |name: &str, text: Part<DurationText>, max| -> Option<Duration> {
        checks.duration(&join_key(path, name), text, MILLISECOND, max)
    };
    let connect = timeout("connect", file.connect, HOUR);
    let attempt = timeout("attempt", file.attempt, HOUR);
    let idle = timeout("idle", file.idle, HOUR);
    let tunnel_idle = timeout("tunnel_idle", file.tunnel_idle, 24 * HOUR);
    Some(Timeouts {
        connect: connect?,
        attempt: attempt?,
        idle: idle?,
        tunnel_idle: tunnel_idle?,
    })
}
