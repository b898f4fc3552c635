//! What watches, spares and protects endpoints.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Checks, HOUR, MILLISECOND, all, present};
use crate::address;
use crate::file::{
    CircuitFile, DnsFile, HealthCheckFile, OutlierDetectionFile, ProbeKind, RetryBudgetFile,
    StatusesFile, SuccessRateFile,
};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::resilience::{
    Circuit, Dns, HealthCheck, OutlierDetection, Probe, RetryBudget, SuccessRate,
};

/// Shorter intervals would be load of their own.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn health_check(
    path: &str,
    part: Part<HealthCheckFile>,
    checks: &mut Checks,
) -> Option<HealthCheck> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let interval = checks.duration(&at("interval"), file.interval, MIN_INTERVAL, HOUR);
    let minute = Duration::from_mins(1);
    let timeout = checks.duration(&at("timeout"), file.timeout, MILLISECOND, minute);
    let healthy_after = checks.read(&at("healthy_after"), file.healthy_after);
    let unhealthy_after = checks.read(&at("unhealthy_after"), file.unhealthy_after);
    let host = file
        .host
        .map(|part| checks.text(&at("host"), part, address::authority));
    let kind = checks.read(&at("type"), file.kind)?;
    let only_for = |checks: &mut Checks, key: &str, is_there: bool, of: ProbeKind, name: &str| {
        if is_there && kind != of {
            checks.add(at(key), format!("only for type: {name}"));
        }
    };
    only_for(checks, "path", file.path.is_some(), ProbeKind::Http, "http");
    only_for(
        checks,
        "expect",
        file.expect.is_some(),
        ProbeKind::Http,
        "http",
    );
    only_for(
        checks,
        "service",
        file.service.is_some(),
        ProbeKind::Grpc,
        "grpc",
    );
    let probe = match kind {
        ProbeKind::Http => http_probe(path, file.path, file.expect, checks),
        ProbeKind::Grpc => match file.service {
            None => Some(String::new()),
            Some(part) => checks.read(&at("service"), part),
        }
        .map(|service| Probe::Grpc { service }),
        ProbeKind::Tcp => Some(Probe::Tcp),
    };
    Some(HealthCheck {
        probe: probe?,
        interval: interval?,
        timeout: timeout?,
        healthy_after: healthy_after?,
        unhealthy_after: unhealthy_after?,
        host: present(host)?,
    })
}

fn http_probe(
    path: &str,
    target: Option<Part<String>>,
    expect: Option<Part<Vec<Part<StatusesFile>>>>,
    checks: &mut Checks,
) -> Option<Probe> {
    let target = match target {
        None => Some("/".to_owned()),
        Some(part) => checks.text(&join_key(path, "path"), part, |text| {
            let parsed = text.parse::<http::uri::PathAndQuery>();
            let is_target = text.starts_with('/') && !text.contains('#') && parsed.is_ok();
            is_target
                .then(|| text.to_owned())
                .ok_or_else(|| "must be a path, such as /health".to_owned())
        }),
    };
    let expect_path = join_key(path, "expect");
    let expect = match expect {
        None => Some(vec![200..=299]),
        Some(part) => checks.read(&expect_path, part).and_then(|parts| {
            all(parts.into_iter().enumerate().map(|(index, part)| {
                let path = join_index(&expect_path, index);
                let statuses = checks.read(&path, part)?;
                checks.accept(&path, range(&statuses))
            }))
        }),
    };
    Some(Probe::Http {
        path: target?,
        expect: expect?,
    })
}

fn range(statuses: &StatusesFile) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = match statuses {
        StatusesFile::One(status) => (Some(*status), Some(*status)),
        StatusesFile::Range(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            (first.parse().ok(), last.parse().ok())
        }
    };
    match (first, last) {
        (Some(first), Some(last)) if 100 <= first && first <= last && last <= 599 => {
            Ok(first..=last)
        }
        _ => Err("expected a status from 100 to 599, or a range such as 200-299".to_owned()),
    }
}

pub(super) fn outlier_detection(
    path: &str,
    part: Part<OutlierDetectionFile>,
    checks: &mut Checks,
) -> Option<OutlierDetection> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let consecutive_failures = checks.read(&at("consecutive_failures"), file.consecutive_failures);
    let success_rate = file
        .success_rate
        .map(|part| success_rate(&at("success_rate"), part, checks));
    let base = checks.duration(&at("base_ejection"), file.base_ejection, MILLISECOND, HOUR);
    let max = checks.duration(&at("max_ejection"), file.max_ejection, MILLISECOND, DAY);
    if let (Some(base), Some(max)) = (base, max)
        && max < base
    {
        checks.add(at("max_ejection"), "must not be shorter than base_ejection");
    }
    let max_ejected_percent = checks.read(&at("max_ejected_percent"), file.max_ejected_percent);
    Some(OutlierDetection {
        consecutive_failures: consecutive_failures?,
        success_rate: present(success_rate)?,
        base_ejection: base?,
        max_ejection: max?,
        max_ejected_percent: max_ejected_percent?,
    })
}

fn success_rate(
    path: &str,
    part: Part<SuccessRateFile>,
    checks: &mut Checks,
) -> Option<SuccessRate> {
    let file = checks.read(path, part)?;
    let minimum = checks.read(&join_key(path, "minimum"), file.minimum);
    let interval_path = join_key(path, "interval");
    let interval = checks.duration(&interval_path, file.interval, MIN_INTERVAL, HOUR);
    let min_requests = checks.read(&join_key(path, "min_requests"), file.min_requests);
    Some(SuccessRate {
        minimum: minimum?,
        interval: interval?,
        min_requests: min_requests?,
    })
}

pub(super) fn circuit(path: &str, part: Part<CircuitFile>, checks: &mut Checks) -> Option<Circuit> {
    let file = checks.read(path, part)?;
    let mut read = |key: &str, part| checks.read(&join_key(path, key), part);
    let max_connections = read("max_connections", file.max_connections);
    let max_pending = read("max_pending", file.max_pending);
    let max_requests = read("max_requests", file.max_requests);
    Some(Circuit {
        max_connections: max_connections?,
        max_pending: max_pending?,
        max_requests: max_requests?,
    })
}

pub(super) fn retry_budget(
    path: &str,
    part: Part<RetryBudgetFile>,
    checks: &mut Checks,
) -> Option<RetryBudget> {
    let file = checks.read(path, part)?;
    let ratio = checks.read(&join_key(path, "ratio"), file.ratio);
    let minimum = checks.read(
        &join_key(path, "min_retries_per_second"),
        file.min_retries_per_second,
    );
    Some(RetryBudget {
        // Within 0 to 10, or the schema check has complained.
        ratio_millis: (ratio? * 1_000.0).round() as u32,
        min_retries_per_second: minimum?,
    })
}

pub(super) fn dns(path: &str, part: Part<DnsFile>, checks: &mut Checks) -> Option<Dns> {
    let file = checks.read(path, part)?;
    let path = join_key(path, "servers");
    let Some(part) = file.servers else {
        return Some(Dns::default());
    };
    let parts = checks.read(&path, part)?.into_iter().enumerate();
    let servers = parts.map(|(index, part)| -> Option<SocketAddr> {
        checks.text(&join_index(&path, index), part, address::socket_address)
    });
    all(servers).map(|servers| Dns { servers })
}
