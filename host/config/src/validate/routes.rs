//! Routes: that they refer to what exists and do not hide each other.

use std::collections::BTreeMap;

use http::HeaderName;

use super::client::route_limits;
use super::destinations::{Written, destination};
use super::fields::field_edits;
use super::matches::matches;
use super::mirrors::mirror;
use super::rewrites::rewrite;
use super::{Checks, HOUR, MILLISECOND, Names, all, present, unique_name};
use crate::destination::Destination;
use crate::file::{PolicyUseFile, RouteFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::route::{Match, PolicyUse, Route, Upgrades};

/// The routes before the one that is being read.
#[derive(Default)]
struct Seen {
    /// Index by name.
    names: BTreeMap<String, usize>,
    /// The route by match, whose `Debug` text says all of it.
    matches: BTreeMap<String, String>,
}

pub(super) fn routes(
    part: Part<Vec<Part<RouteFile>>>,
    names: &Names,
    checks: &mut Checks,
) -> Option<Vec<Route>> {
    let parts = checks.read("routes", part)?;
    let mut seen = Seen::default();
    let routes = parts.into_iter().enumerate().map(|(index, part)| {
        let file = checks.read(&join_index("routes", index), part)?;
        route(index, file, names, &mut seen, checks)
    });
    all(routes)
}

fn route(
    index: usize,
    file: RouteFile,
    names: &Names,
    seen: &mut Seen,
    checks: &mut Checks,
) -> Option<Route> {
    let path = join_index("routes", index);
    let at = |key: &str| join_key(&path, key);
    let name = unique_name(&path, index, file.name, &mut seen.names, checks);
    let matches = matches(&at("match"), file.matches, checks);
    if let Some(matches) = &matches {
        check_match(&path, name.as_deref(), matches, seen, checks);
    }
    let rewrite = rewrite(&at("rewrite"), file.rewrite, matches.as_ref(), checks);
    let destination = destination(
        &path,
        Written {
            upstream: file.upstream,
            split: file.split,
            sticky: file.sticky,
            redirect: file.redirect,
            respond: file.respond,
        },
        matches.as_ref(),
        names,
        checks,
    );
    let mirror = present(
        file.mirror
            .map(|part| mirror(&at("mirror"), part, names, checks)),
    );
    if let (Some(Some(_)), Some(Destination::Redirect(_) | Destination::Respond(_))) =
        (&mirror, &destination)
    {
        checks.add(
            at("mirror"),
            "copies what goes to an upstream or a split: remove it",
        );
    }
    let at_request = at("request_headers");
    let request_headers = field_edits(&at_request, file.request_headers, checks);
    let at_response = at("response_headers");
    let response_headers = field_edits(&at_response, file.response_headers, checks);
    let deadline = checks.duration(&at("deadline"), file.deadline, MILLISECOND, HOUR);
    let limits = route_limits(&at("limits"), file.limits, checks);
    let max_attempts = checks.read(&at("max_attempts"), file.max_attempts);
    let retry_non_idempotent = checks.read(&at("retry_non_idempotent"), file.retry_non_idempotent);
    let max_retry_after = checks.duration(
        &at("max_retry_after"),
        file.max_retry_after,
        std::time::Duration::ZERO,
        HOUR,
    );
    let replay_buffer = checks.size(&at("replay_buffer"), file.replay_buffer, 0, 16 << 20);
    let upgrades = upgrades(&at("upgrades"), file.upgrades, checks);
    let policies = policy_uses(&at("policies"), file.policies, names, checks);
    Some(Route {
        name: name?,
        matches: matches?,
        rewrite: rewrite?,
        destination: destination?,
        mirror: mirror?,
        request_headers: request_headers?,
        response_headers: response_headers?,
        deadline: deadline?,
        limits: limits?,
        max_attempts: max_attempts?,
        retry_non_idempotent: retry_non_idempotent?,
        max_retry_after: max_retry_after?,
        replay_buffer: usize::try_from(replay_buffer?).ok()?,
        upgrades: upgrades?,
        policies: policies?,
    })
}

fn upgrades(path: &str, part: Part<Vec<Part<String>>>, checks: &mut Checks) -> Option<Upgrades> {
    let parts = checks.read(path, part)?;
    let names = parts.into_iter().enumerate();
    let names = names.map(|(index, part)| {
        checks.text(&join_index(path, index), part, |text| {
            // RFC 9110 §7.8: name ["/" version], both tokens. `*` is a token as well.
            let is_protocol = text
                .splitn(2, '/')
                .all(|part| HeaderName::try_from(part).is_ok());
            if is_protocol {
                Ok(text.to_ascii_lowercase())
            } else {
                Err("not the name of a protocol, such as websocket".to_owned())
            }
        })
    });
    let mut names: Vec<String> = all(names)?;
    names.sort();
    names.dedup();
    Some(if names.iter().any(|name| name == "*") {
        Upgrades::Any
    } else {
        Upgrades::Only(names)
    })
}

/// Of two routes with the same match, the second would never be asked.
fn check_match(
    path: &str,
    name: Option<&str>,
    matches: &Match,
    seen: &mut Seen,
    checks: &mut Checks,
) {
    let key = format!("{matches:?}");
    let route = name.map_or_else(|| path.to_owned(), |name| format!("\"{name}\""));
    if let Some(first) = seen.matches.get(&key) {
        let message = format!(
            "route {route} matches the same requests as route {first}: change one, or remove it"
        );
        checks.add(join_key(path, "match"), message);
    } else {
        seen.matches.insert(key, route);
    }
}

fn policy_uses(
    path: &str,
    part: Part<Vec<Part<PolicyUseFile>>>,
    names: &Names,
    checks: &mut Checks,
) -> Option<Vec<PolicyUse>> {
    let parts = checks.read(path, part)?;
    let uses = parts.into_iter().enumerate().map(|(index, part)| {
        let path = join_index(path, index);
        let file = checks.read(&path, part)?;
        let policy = checks.reference(
            &join_key(&path, "use"),
            "policy",
            file.policy,
            names.policies.as_ref(),
        );
        let on_failure = checks.read(&join_key(&path, "on_failure"), file.on_failure);
        Some(PolicyUse {
            policy: policy?,
            on_failure: on_failure?,
            config: file.config,
        })
    });
    all(uses)
}
