//! What the schema of the format cannot say: names that refer to names, addresses, ranges of durations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;
use portcullis_config::{DurationText, is_name, unknown};
use rustix::process::Signal;

use super::file::{SignalName, StopFile};
use super::order::find_circle;
use super::problems::Problems;
use super::read::Draft;
use super::service::{Health, Probe, Service, Stop};
use crate::backoff::Restart;
use crate::output::AGENT;

/// Shorter is more work than it is worth, and 0 would never rest.
const SHORTEST: Duration = Duration::from_millis(10);

/// That names can be names, and each is there once.
pub(super) fn names(drafts: &[Draft], problems: &mut Problems) {
    let mut seen: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Draft { name, place, .. } = draft;
        if !is_name(name) || name == AGENT {
            let message = format!(
                "a service's name has at most 63 lower-case letters, digits, \".\", \"_\" and \"-\", and is not \"{AGENT}\": choose another"
            );
            problems.add(place, "", message);
        }
        if let Some(first) = seen.insert(name, draft) {
            let elsewhere = problems.locate(&first.place);
            let message = format!("{elsewhere} has a service of this name: rename one of them");
            problems.add(place, "", message);
        }
    }
}

/// For each service the indices of those that it depends on.
pub(super) fn dependences(drafts: &[Draft], problems: &mut Problems) -> Vec<Vec<usize>> {
    let known: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    let mut graph = vec![Vec::new(); drafts.len()];
    for (index, draft) in drafts.iter().enumerate() {
        for (position, name) in draft.file.depends_on.iter().enumerate() {
            match known.iter().position(|known| known == name) {
                Some(dependence) => graph[index].push(dependence),
                None => {
                    let message = unknown(&format!("service \"{name}\""), name, &known);
                    problems.add(&draft.place, &format!("depends_on[{position}]"), message);
                }
            }
        }
    }
    if let Some(circle) = find_circle(&graph) {
        let names: Vec<&str> = circle
            .iter()
            .chain(&circle[..1])
            .map(|node| known[*node])
            .collect();
        let message = format!(
            "services depend on each other in a circle: {}; take one of these dependences away",
            names.join(" → ")
        );
        problems.add(&drafts[circle[0]].place, "depends_on", message);
    }
    graph
}

/// How to see that the service is well.
pub(super) fn health(draft: &Draft, problems: &mut Problems) -> Option<Health> {
    let file = draft.file.health.as_ref()?;
    let place = &draft.place;
    let probe = match (&file.url, &file.tcp) {
        (Some(url), None) => http_probe(url).map_err(|message| ("health.url", message)),
        (None, Some(address)) => tcp_probe(address).map_err(|message| ("health.tcp", message)),
        _ => Err(("health", "needs one of url and tcp: write one".to_owned())),
    };
    let mut duration = |key: &str, given: Option<DurationText>, otherwise: Duration| {
        let duration = given.map_or(otherwise, DurationText::get);
        if duration < SHORTEST {
            problems.add(place, &format!("health.{key}"), "must be at least 10ms");
        }
        duration
    };
    let second = Duration::from_secs(1);
    let interval = duration("interval", file.interval, second);
    let timeout = duration("timeout", file.timeout, second);
    let start_timeout = duration("start_timeout", file.start_timeout, 30 * second);
    let probe = probe.map_err(|(key, message)| problems.add(place, key, message));
    Some(Health {
        probe: probe.ok()?,
        interval,
        timeout,
        start_timeout,
    })
}

fn http_probe(url: &str) -> Result<Probe, String> {
    let expected = || "expected a URL such as http://127.0.0.1:8080/health".to_owned();
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
        return Err(expected());
    }
    Ok(Probe::Http {
        authority: format!("{}:{}", authority.host(), uri.port_u16().unwrap_or(80)),
        path: uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
    })
}

fn tcp_probe(address: &str) -> Result<Probe, String> {
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_address {
        Ok(Probe::Tcp(address.to_owned()))
    } else {
        Err("expected an address such as 127.0.0.1:6379".to_owned())
    }
}

/// What it listens on: what its file says, and where its health is asked, if that is on this machine.
pub(super) fn listens(
    draft: &Draft,
    health: Option<&Health>,
    problems: &mut Problems,
) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for (index, text) in draft.file.listens.iter().enumerate() {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => addresses.push(address),
            _ => {
                let message = "expected an address such as 127.0.0.1:8080 or [::1]:8080";
                problems.add(&draft.place, &format!("listens[{index}]"), message);
            }
        }
    }
    let probed = health.and_then(|health| match &health.probe {
        Probe::Http { authority, .. } => local_address(authority),
        Probe::Tcp(address) => local_address(address),
    });
    // 0.0.0.0:8080 among what it listens on has 127.0.0.1:8080 already.
    let news = probed.filter(|probed| !addresses.iter().any(|known| collide(*known, *probed)));
    addresses.extend(news);
    addresses
}

fn local_address(authority: &str) -> Option<SocketAddr> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Some(port) = authority.strip_prefix("localhost:") {
        return Some(SocketAddr::new(local, port.parse().ok()?));
    }
    authority
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
}

/// That no two services listen on one address.
pub(super) fn addresses(drafts: &[Draft], services: &[Service], problems: &mut Problems) {
    for (index, service) in services.iter().enumerate() {
        for address in &service.listens {
            let taken = services[..index].iter().position(|other| {
                other
                    .listens
                    .iter()
                    .any(|theirs| collide(*theirs, *address))
            });
            if let Some(other) = taken {
                let message = format!(
                    "service \"{}\" listens on port {} already: choose another port for one of them",
                    services[other].name,
                    address.port(),
                );
                problems.add(&drafts[index].place, "listens", message);
            }
        }
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.ip() == other.ip();
    one.port() == other.port()
        && (is_same || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// When it is started again.
pub(super) fn restart(draft: &Draft, problems: &mut Problems) -> Restart {
    let file = &draft.file.restart;
    let get = |given: Option<DurationText>, seconds: f64| {
        given.map_or(Duration::from_secs_f64(seconds), DurationText::get)
    };
    let restart = Restart {
        base: get(file.base, 0.5),
        cap: get(file.cap, 30.0),
        reset_after: get(file.reset_after, 30.0),
        give_up_after: file.give_up_after.unwrap_or(6),
    };
    if restart.base < SHORTEST {
        problems.add(&draft.place, "restart.base", "must be at least 10ms");
    }
    if restart.cap < restart.base {
        let message = format!("must not be less than base, which is {:?}", restart.base);
        problems.add(&draft.place, "restart.cap", message);
    }
    restart
}

/// How it is stopped.
pub(super) fn stop(file: &StopFile) -> Stop {
    let grace = Duration::from_secs(10);
    Stop {
        signal: match file.signal.unwrap_or(SignalName::Term) {
            SignalName::Term => Signal::TERM,
            SignalName::Int => Signal::INT,
            SignalName::Quit => Signal::QUIT,
            SignalName::Hup => Signal::HUP,
            SignalName::Usr1 => Signal::USR1,
            SignalName::Usr2 => Signal::USR2,
            SignalName::Kill => Signal::KILL,
        },
        grace: file.grace.map_or(grace, DurationText::get),
    }
}
