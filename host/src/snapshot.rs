//! One revision of the config, compiled: routes, chains and upstreams that workers read together.
//!
//! Built aside and swapped in whole; a problem anywhere leaves the serving snapshot as it is.

mod held_revision;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{ClientLimits, ClientTimeouts, Config, Dns, Upstream as UpstreamConfig};
use portcullis_config::{FieldEdits as FieldEditsConfig, Route as RouteConfig};
use portcullis_config::{Problem, pointer_to_path};

use self::held_revision::HeldRevision;
use crate::access_log::registry::{AccessLog, AccessLogs};
use crate::capability::kv::KvSpaces;
use crate::capability::redis::{RedisBinding, RedisBindings};
use crate::client_body::BodyBounds;
use crate::head::HeadRules;
use crate::listener::settings::{self, ListenerSettings};
use crate::listener::ticket_keys::TicketKeys;
use crate::policy::PolicyUse;
use crate::policy::fault_circuits::FaultCircuits;
use crate::policy::info::PolicyInfo;
use crate::policy::loader::{ConfiguredUse, LoadedPolicy, PolicyLoader};
use crate::policy::wanted::Wanted;
use crate::policy_store::active::ActiveVersions;
use crate::route::destination::Destination;
use crate::route::field_edits::FieldEdits;
use crate::route::matcher::Matcher;
use crate::route::{Rewrite, Route, RouteTable};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::otlp::{Exporting, Exports};
use crate::telemetry::route::RouteSeries;
use crate::upstream::Upstream;
use crate::upstream::connection::Transport;
use crate::upstream::connection::tls::{Tls, TlsProblem};
use crate::upstream::mirror::Mirror;
use crate::upstream::registry::UpstreamRegistry;

/// What serves requests; immutable.
pub struct Snapshot {
    /// Counts the configs of this process, from 1.
    pub revision: u64,
    /// What becomes of every request's head.
    pub head_rules: HeadRules,
    /// By name.
    pub listeners: BTreeMap<Arc<str>, Arc<ListenerSettings>>,
    /// Most specific first.
    pub routes: Vec<Arc<Route>>,
    /// Their places by host and path.
    pub table: RouteTable,
    /// Names of the routes, by [`Route::index`].
    pub route_names: Vec<Arc<str>>,
    /// What is measured of them, in the same order.
    pub route_series: Vec<Arc<RouteSeries>>,
    /// In the order of their names.
    pub upstreams: Vec<Upstream>,
    /// What clients may send and hold.
    pub limits: ClientLimits,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// Where names are looked up, for [`UpstreamRegistry::settle`].
    pub dns: Dns,
    /// What is told of the policies, by name.
    pub policies: Vec<PolicyInfo>,
    /// Number of policy uses in all chains.
    pub policy_uses: usize,
    /// Bytes of keys by policy, for [`KvSpaces::settle`] when this snapshot begins to serve.
    pub kv_quotas: BTreeMap<String, usize>,
    /// Where requests leave lines.
    pub access_log: Option<Arc<AccessLog>>,
    /// What of them is traced, and what is sent out.
    pub exporting: Exporting,
    _held: HeldRevision,
}

/// What snapshots are built from, and what outlives them.
pub struct Foundations {
    /// Loads and prepares policies.
    pub loader: PolicyLoader,
    /// The policies' keys in this process.
    pub kv: KvSpaces,
    /// Of the policies' uses.
    pub fault_circuits: Arc<FaultCircuits>,
    /// The Redis bindings.
    pub redis: Arc<RedisBindings>,
    /// The process' metrics.
    pub metrics: Arc<Metrics>,
    /// What is known of upstreams.
    pub upstreams: Arc<UpstreamRegistry>,
    /// Keys of TLS session tickets.
    pub tickets: Arc<TicketKeys>,
    /// The access log of the last revision.
    pub access_logs: AccessLogs,
    /// What the last revision sends out.
    pub exports: Exports,
    /// Number of workers.
    pub workers: usize,
}

impl Snapshot {
    /// Compiles a config, with the policies of the store in their `active` versions; all problems at
    /// once, each with its place in the file.
    pub async fn build(
        config: &Config,
        active: &ActiveVersions,
        revision: u64,
        foundations: &Foundations,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let listeners = settings::build_all(config, &foundations.tickets, &mut problems);
        let redis = redis_bindings(config, foundations, &mut problems);
        let access_log = access_log(config, foundations, &mut problems);
        let exporting = exporting(config, foundations, &mut problems);
        let policies = foundations
            .loader
            .load_all(&Wanted::by(config, active), &mut problems)
            .await;
        let upstreams = build_upstreams(config, foundations, &mut problems);
        let mut policy_uses = 0;
        let mut routes = Vec::new();
        for (index, route) in config.routes.iter().enumerate() {
            let site = Site {
                config,
                route,
                index,
                redis: &redis,
                policies: &policies,
                foundations,
            };
            let chain = site.build_chain(&mut policy_uses, &mut problems);
            routes.extend(site.build_route(chain, &mut problems));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let quotas = policies
            .iter()
            .filter_map(|(name, policy)| Some((name.clone(), policy.kv_quota()?)));
        let kv_quotas = quotas.collect();
        let route_names: Vec<Arc<str>> = routes.iter().map(|route| route.name.clone()).collect();
        let metrics = &foundations.metrics;
        let route_series = route_names.iter().map(|name| metrics.route(name)).collect();
        // A stable sort: of equally specific routes the first in the file wins.
        routes.sort_by(|a, b| more_specific(&a.matcher, &b.matcher));
        let table = RouteTable::new(routes.iter().map(|route| &route.matcher));
        let routes = routes.into_iter().map(Arc::new).collect();
        Ok(Self {
            revision,
            head_rules: HeadRules::from_config(config),
            listeners,
            routes,
            table,
            route_names,
            route_series,
            upstreams,
            limits: config.limits,
            timeouts: config.timeouts,
            dns: config.dns.clone(),
            policies: policies.values().map(LoadedPolicy::info).collect(),
            policy_uses,
            kv_quotas,
            access_log,
            exporting,
            _held: HeldRevision::new(foundations.metrics.clone()),
        })
    }
}

fn more_specific(a: &Matcher, b: &Matcher) -> Ordering {
    a.specificity().cmp(&b.specificity())
}

/// One route of the config, while it is being built.
struct Site<'a> {
    config: &'a Config,
    route: &'a RouteConfig,
    index: usize,
    redis: &'a BTreeMap<String, Arc<RedisBinding>>,
    policies: &'a BTreeMap<String, LoadedPolicy>,
    foundations: &'a Foundations,
}

impl Site<'_> {
    fn build_chain(&self, slots: &mut usize, problems: &mut Vec<Problem>) -> Vec<PolicyUse> {
        let mut chain = Vec::new();
        for (place, used) in self.route.policies.iter().enumerate() {
            // A policy that could not be loaded has its own problem on the list.
            let Some(policy) = self.policies.get(&used.policy) else {
                continue;
            };
            let capabilities =
                policy.capabilities(&self.route.name, self.config, self.redis, self.foundations);
            let configured = ConfiguredUse {
                route: self.index,
                place,
                config: &used.config,
                lines: &self.config.lines,
            };
            match policy.prepare(&configured, capabilities) {
                Ok(prepared) => {
                    let metrics = &self.foundations.metrics;
                    let series = metrics.policy_use(&used.policy, &self.route.name);
                    let (name, on_failure) = (used.policy.as_str().into(), used.on_failure);
                    let fault_circuit = policy.fault_circuit(
                        (&self.route.name, place),
                        &used.config,
                        &self.foundations.fault_circuits,
                    );
                    chain.push(PolicyUse {
                        name,
                        place,
                        slot: *slots,
                        on_failure,
                        fault_circuit,
                        policy: prepared,
                        series,
                    });
                    *slots += 1;
                }
                Err(found) => problems.extend(found),
            }
        }
        chain
    }

    fn body_bounds(&self) -> BodyBounds {
        let size = self.route.limits.body.unwrap_or(self.config.limits.body);
        BodyBounds {
            size: if size == 0 { u64::MAX } else { size },
            idle: self.config.timeouts.body_idle,
        }
    }

    /// Place of an upstream, which the config's validation has seen there.
    fn place_of(&self, upstream: &str) -> usize {
        let mut names = self.config.upstreams.keys();
        names.position(|name| name == upstream).unwrap_or_default()
    }

    fn build_route(&self, chain: Vec<PolicyUse>, problems: &mut Vec<Problem>) -> Option<Route> {
        let route = self.route;
        Some(Route {
            name: route.name.as_str().into(),
            index: self.index,
            matcher: Matcher::from_config(&route.matches),
            paths: self.config.path_normalisation,
            rewrite: Rewrite::from_config(&route.rewrite),
            destination: self.destination(problems)?,
            mirror: self.mirror(),
            request_edits: edits(&route.request_headers),
            response_edits: edits(&route.response_headers),
            deadline: route
                .deadline
                .min(route.limits.duration.unwrap_or(Duration::MAX)),
            body: self.body_bounds(),
            duration: route.limits.duration,
            max_attempts: route.max_attempts,
            retry_non_idempotent: route.retry_non_idempotent,
            max_retry_after: route.max_retry_after,
            replay_buffer: route.replay_buffer,
            upgrades: route.upgrades.clone(),
            chain,
        })
    }

    fn mirror(&self) -> Option<Mirror> {
        let config = self.route.mirror.as_ref()?;
        let metrics = &self.foundations.metrics;
        let counters = metrics.mirror(&self.route.name, &config.upstream);
        let place = self.place_of(&config.upstream);
        Some(Mirror::new(config, place, counters))
    }

    fn destination(&self, problems: &mut Vec<Problem>) -> Option<Destination> {
        let built = Destination::from_config(self.route, |name| self.place_of(name));
        let path = || format!("routes[{}].respond.file", self.index);
        built
            .map_err(|error| problems.push(self.config.lines.problem(path(), error)))
            .ok()
    }
}

/// `None`: nothing to do for any request.
fn edits(config: &FieldEditsConfig) -> Option<FieldEdits> {
    (*config != FieldEditsConfig::default()).then(|| FieldEdits::from_config(config))
}

fn build_upstreams(
    config: &Config,
    foundations: &Foundations,
    problems: &mut Vec<Problem>,
) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for (name, upstream) in &config.upstreams {
        match transport(name, upstream) {
            Ok(transport) => upstreams.push(build_upstream(name, upstream, transport, foundations)),
            Err(problem) => {
                let path = pointer_to_path("upstreams", &format!("/{name}/tls{}", problem.place));
                problems.push(config.lines.problem(path, problem.to_string()));
            }
        }
    }
    upstreams
}

fn transport(name: &str, config: &UpstreamConfig) -> Result<Transport, TlsProblem> {
    let tls = match &config.tls {
        None => None,
        Some(tls) => {
            if !tls.verify {
                tracing::warn!(
                    upstream = name,
                    "tls.verify is false: whoever can reach these connections can read and change everything on them"
                );
            }
            Some(Tls::from_config(tls, config.protocol)?)
        }
    };
    Ok(Transport {
        protocol: config.protocol,
        tls,
    })
}

fn build_upstream(
    name: &str,
    config: &UpstreamConfig,
    transport: Transport,
    foundations: &Foundations,
) -> Upstream {
    Upstream {
        name: name.into(),
        live: foundations.upstreams.prepare(name, config),
        transport,
        connect_timeout: config.timeouts.connect,
        attempt_timeout: config.timeouts.attempt,
        series: foundations.metrics.upstream(name),
    }
}

fn redis_bindings(
    config: &Config,
    foundations: &Foundations,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<RedisBinding>> {
    let mut bindings = BTreeMap::new();
    for (name, binding) in &config.redis {
        let opened =
            foundations
                .redis
                .open(name, binding, foundations.workers, &foundations.metrics);
        match opened {
            Ok(binding) => drop(bindings.insert(name.clone(), binding)),
            Err(problem) => {
                let path = pointer_to_path("redis", &format!("/{name}{}", problem.place));
                problems.push(config.lines.problem(path, problem.to_string()));
            }
        }
    }
    bindings
}

fn access_log(
    config: &Config,
    foundations: &Foundations,
    problems: &mut Vec<Problem>,
) -> Option<Arc<AccessLog>> {
    let configured = config.access_log.as_ref()?;
    let prepared = foundations
        .access_logs
        .prepare(configured, &foundations.metrics);
    let cannot = |error| format!("it cannot be opened to write to: {error}");
    prepared
        .map_err(|error| problems.push(config.lines.problem("access_log.path", cannot(error))))
        .ok()
}

fn exporting(config: &Config, foundations: &Foundations, problems: &mut Vec<Problem>) -> Exporting {
    let prepared = foundations.exports.prepare(config, &foundations.metrics);
    prepared.unwrap_or_else(|problem| {
        let path = pointer_to_path("otlp", &format!("/tls{}", problem.place));
        problems.push(config.lines.problem(path, problem.to_string()));
        Exporting::default()
    })
}
