//! Upstreams: their endpoints and timeouts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checks, HOUR, MILLISECOND, all};
use crate::address;
use crate::file::{TimeoutsFile, UpstreamFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::units::DurationText;
use crate::upstream::{Endpoint, Timeouts, Upstream};

pub(super) fn upstream(path: &str, file: UpstreamFile, checks: &mut Checks) -> Option<Upstream> {
    let endpoints = endpoints(&join_key(path, "endpoints"), file.endpoints, checks);
    let timeouts_path = join_key(path, "timeouts");
    let timeouts = checks
        .read(&timeouts_path, file.timeouts)
        .and_then(|file| timeouts(&timeouts_path, file, checks));
    let max_idle_connections = checks.read(
        &join_key(path, "max_idle_connections"),
        file.max_idle_connections,
    );
    Some(Upstream {
        endpoints: endpoints?,
        timeouts: timeouts?,
        max_idle_connections: max_idle_connections?,
    })
}

fn endpoints(
    path: &str,
    part: Part<Vec<Part<String>>>,
    checks: &mut Checks,
) -> Option<Vec<Endpoint>> {
    let parts = checks.read(path, part)?;
    let mut first: BTreeMap<Endpoint, String> = BTreeMap::new();
    let endpoints = parts.into_iter().enumerate().map(|(index, part)| {
        let path = join_index(path, index);
        let endpoint = checks.text(&path, part, address::endpoint)?;
        if let Some(other) = first.get(&endpoint) {
            checks.add(path, format!("the same endpoint as {other}"));
            return None;
        }
        first.insert(endpoint.clone(), path);
        Some(endpoint)
    });
    all(endpoints)
}

fn timeouts(path: &str, file: TimeoutsFile, checks: &mut Checks) -> Option<Timeouts> {
    let mut timeout = |name: &str, text: Part<DurationText>| -> Option<Duration> {
        checks.duration(&join_key(path, name), text, MILLISECOND, HOUR)
    };
    let connect = timeout("connect", file.connect);
    let attempt = timeout("attempt", file.attempt);
    let idle = timeout("idle", file.idle);
    Some(Timeouts {
        connect: connect?,
        attempt: attempt?,
        idle: idle?,
    })
}
