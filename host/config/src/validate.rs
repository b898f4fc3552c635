//! File → model: everything that the schema cannot say. Collects every problem instead of stopping.

mod access_log;
mod answers;
mod balancing;
mod checks;
mod client;
mod control;
mod destinations;
mod fields;
mod head;
mod listeners;
mod log;
mod matches;
mod mirrors;
mod otlp;
mod policies;
mod policy_store;
mod redis;
mod resilience;
mod rewrites;
mod routes;
mod upstream_tls;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use checks::Checks;
pub(crate) use policies::component_source;

use crate::address;
use crate::file::{GatewayFile, MetricsFile};
use crate::model::{Config, Metrics};
use crate::part::{Name, Named, Part};
use crate::path::{Lines, join_key};
use crate::secret::{MAX_SECRET_BYTES, Secret, SecretSources};

const MILLISECOND: Duration = Duration::from_millis(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The model, if `checks`, which comes with what the schema check found, stays without a problem.
pub(crate) fn validate(
    file: GatewayFile,
    lines: Lines,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Config> {
    let names = Names::of(&file, sources.base);
    let listeners = listeners::listeners(file.listeners, sources.base, checks);
    let has_collector = file.otlp.is_some();
    let metrics = file
        .metrics
        .map(|part| metrics(part, has_collector, checks));
    let control = file
        .control
        .map(|part| control::control(part, sources.base, checks));
    let policy_store = file
        .policy_store
        .map(|part| policy_store::policy_store(part, sources.base, checks));
    let others = [
        (
            "metrics.address",
            metrics
                .as_ref()
                .and_then(|metrics| Some(metrics.as_ref()?.address)),
        ),
        (
            "control.address",
            control
                .as_ref()
                .and_then(|control| Some(control.as_ref()?.address)),
        ),
    ];
    listeners::check_addresses(listeners.as_deref(), others, checks);
    let workers = file.workers.map(|part| checks.read("workers", part));
    let policy_instances = checks.read("policy_instances", file.policy_instances);
    let drain_timeout = checks.duration("drain_timeout", file.drain_timeout, Duration::ZERO, HOUR);
    let limits = client::limits(file.limits, checks);
    let timeouts = client::timeouts(file.timeouts, checks);
    let path_normalisation =
        head::path_normalisation("path_normalisation", file.path_normalisation, checks);
    let trusted_proxies = head::trusted_proxies("trusted_proxies", file.trusted_proxies, checks);
    let via = head::via("via", file.via, checks);
    let drain_delay = checks.duration("drain_delay", file.drain_delay, Duration::ZERO, TEN_MINUTES);
    let watch = checks.read("watch", file.watch);
    let access_log = file
        .access_log
        .map(|part| access_log::access_log(part, sources.base, checks));
    let otlp = file.otlp.map(|part| otlp::otlp(part, sources, checks));
    let tracing = otlp::tracing(file.tracing, has_collector, checks);
    let log = log::log(file.log, checks);
    let redis = named("redis", file.redis, checks, |path, file, checks| {
        redis::redis(path, file, sources, checks)
    });
    let secrets = named("secrets", file.secrets, checks, |path, file, checks| {
        let resolved = sources.resolve(&file).and_then(bounded);
        checks.accept(path, resolved)
    });
    let dns = resilience::dns("dns", file.dns, checks);
    let base: &Path = sources.base;
    let upstreams = named("upstreams", file.upstreams, checks, |path, file, checks| {
        upstreams::upstream(path, file, base, checks)
    });
    let policies = named("policies", file.policies, checks, |path, file, checks| {
        policies::policy(path, file, base, &names, checks)
    });
    let routes = routes::routes(file.routes, &names, checks);
    if !checks.are_clean() {
        return None;
    }
    Some(Config {
        listeners: listeners?,
        metrics: present(metrics)?,
        control: present(control)?,
        policy_store: present(policy_store)?,
        workers: present(workers)?.map(usize::from),
        policy_instances: policy_instances?,
        drain_timeout: drain_timeout?,
        limits: limits?,
        timeouts: timeouts?,
        path_normalisation: path_normalisation?,
        trusted_proxies: trusted_proxies?,
        via: via?,
        drain_delay: drain_delay?,
        watch: watch?,
        access_log: present(access_log)?,
        otlp: present(otlp)?,
        tracing: tracing?,
        log: log?,
        redis: redis?,
        secrets: secrets?,
        dns: dns?,
        upstreams: upstreams?,
        policies: policies?,
        routes: routes?,
        lines,
    })
}

/// The names that can be referred to, those of broken things included. `None`: the section is broken.
struct Names {
    /// What relative names of files start from.
    base: PathBuf,
    /// Whether there is a policy store.
    policy_store: bool,
    redis: Option<BTreeSet<String>>,
    secrets: Option<BTreeSet<String>>,
    upstreams: Option<BTreeSet<String>>,
    policies: Option<BTreeSet<String>>,
}

impl Names {
    fn of(file: &GatewayFile, base: &Path) -> Self {
        fn names<T>(section: &Part<Named<T>>) -> Option<BTreeSet<String>> {
            match section {
                Part::Read(things) => Some(things.keys().map(|name| name.0.clone()).collect()),
                Part::Broken(_) => None,
            }
        }
        Self {
            base: base.to_owned(),
            policy_store: file.policy_store.is_some(),
            redis: names(&file.redis),
            secrets: names(&file.secrets),
            upstreams: names(&file.upstreams),
            policies: names(&file.policies),
        }
    }
}

/// Validates each thing of a section. `None` if any is invalid.
fn named<F, T>(
    path: &str,
    section: Part<Named<F>>,
    checks: &mut Checks,
    mut validate: impl FnMut(&str, F, &mut Checks) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let things = checks.read(path, section)?.into_iter().map(|(name, part)| {
        let path = join_key(path, &name.0);
        let file = checks.read(&path, part);
        file.and_then(|file| validate(&path, file, checks))
            .map(|thing| (name.0, thing))
    });
    all(things)
}

/// All items, or `None` if one is missing; looks at each in any case.
fn all<T, C: FromIterator<T>>(items: impl Iterator<Item = Option<T>>) -> Option<C> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

/// `None` if it is there and invalid, `Some(None)` if it is not there.
fn present<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}

/// The name of the item at `index` of a list; `first` has the index of each name seen so far.
fn unique_name(
    path: &str,
    index: usize,
    part: Part<Name>,
    first: &mut BTreeMap<String, usize>,
    checks: &mut Checks,
) -> Option<String> {
    let path_of_name = join_key(path, "name");
    let Name(name) = checks.read(&path_of_name, part)?;
    if let Some(other) = first.get(&name) {
        let list = path.split('[').next().unwrap_or_default();
        checks.add(
            path_of_name,
            format!("{list}[{other}] has the same name \"{name}\""),
        );
    }
    first.entry(name.clone()).or_insert(index);
    Some(name)
}

fn metrics(part: Part<MetricsFile>, has_collector: bool, checks: &mut Checks) -> Option<Metrics> {
    let file = checks.read("metrics", part)?;
    let address = checks.text("metrics.address", file.address, address::socket_address);
    let max_age = checks.duration("metrics.max_age", file.max_age, Duration::ZERO, MINUTE);
    let push = otlp::push(file.push, has_collector, checks);
    Some(Metrics {
        address: address?,
        max_age: max_age?,
        push: push?,
    })
}

/// A secret for policies, wherever it comes from.
fn bounded(secret: Secret) -> Result<Secret, String> {
    match secret.expose().len() as u64 {
        0 => Err("must not be empty".to_owned()),
        1..=MAX_SECRET_BYTES => Ok(secret),
        _ => Err(format!("larger than {} KiB", MAX_SECRET_BYTES >> 10)),
    }
}
