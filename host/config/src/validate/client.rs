//! What clients may take: that each bound is one the gateway can keep.

use std::time::Duration;

use super::{Checks, HOUR, MILLISECOND, present};
use crate::client::{ClientLimits, ClientTimeouts, RouteLimits};
use crate::file::{ClientLimitsFile, ClientTimeoutsFile, RouteLimitsFile};
use crate::part::Part;
use crate::path::join_key;
use crate::units::{DurationText, SizeText};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY: Duration = Duration::from_hours(24);

pub(super) fn limits(part: Part<ClientLimitsFile>, checks: &mut Checks) -> Option<ClientLimits> {
    let file = checks.read("limits", part)?;
    let size = |checks: &mut Checks, key: &str, part: Part<SizeText>, min: u64, max: u64| {
        checks.size(&join_key("limits", key), part, min, max)
    };
    // hyper's buffer has 8 KiB at least, and takes no target beyond 64 KiB.
    let head_bytes = size(checks, "head_bytes", file.head_bytes, 8 * KIB, MIB);
    let uri_bytes = size(checks, "uri_bytes", file.uri_bytes, 256, 64 * KIB);
    let body = size(checks, "body", file.body, 0, TIB);
    let number = |checks: &mut Checks, key: &str, part| checks.read(&join_key("limits", key), part);
    let headers = number(checks, "headers", file.headers);
    let connections = number(checks, "connections", file.connections);
    let per_client = number(
        checks,
        "connections_per_client",
        file.connections_per_client,
    );
    let requests = number(checks, "requests", file.requests);
    let h2_streams = checks.read("limits.h2_streams", file.h2_streams);
    let h2_resets = checks.read("limits.h2_resets", file.h2_resets);
    Some(ClientLimits {
        head_bytes: usize::try_from(head_bytes?).ok()?,
        headers: headers?,
        uri_bytes: usize::try_from(uri_bytes?).ok()?,
        body: body?,
        connections: connections?,
        connections_per_client: per_client?,
        requests: requests?,
        h2_streams: h2_streams?,
        h2_resets: h2_resets?,
    })
}

pub(super) fn timeouts(
    part: Part<ClientTimeoutsFile>,
    checks: &mut Checks,
) -> Option<ClientTimeouts> {
    let file = checks.read("timeouts", part)?;
    let mut timeout = |key: &str, part: Part<DurationText>| {
        checks.duration(&join_key("timeouts", key), part, MILLISECOND, HOUR)
    };
    let head = timeout("head", file.head);
    let keep_alive = timeout("keep_alive", file.keep_alive);
    let body_idle = timeout("body_idle", file.body_idle);
    let write_idle = timeout("write_idle", file.write_idle);
    let handshake = timeout("handshake", file.handshake);
    Some(ClientTimeouts {
        head: head?,
        keep_alive: keep_alive?,
        body_idle: body_idle?,
        write_idle: write_idle?,
        handshake: handshake?,
    })
}

pub(super) fn route_limits(
    path: &str,
    part: Part<RouteLimitsFile>,
    checks: &mut Checks,
) -> Option<RouteLimits> {
    let file = checks.read(path, part)?;
    let body = file
        .body
        .map(|part| checks.size(&join_key(path, "body"), part, 0, TIB));
    let duration = file
        .duration
        .map(|part| checks.duration(&join_key(path, "duration"), part, MILLISECOND, DAY));
    Some(RouteLimits {
        body: present(body)?,
        duration: present(duration)?,
    })
}
