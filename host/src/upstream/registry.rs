//! The upstreams of the process, from one config to the next, and the tasks that care for them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_config::{Dns, Upstream as UpstreamConfig};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Upstream;
use super::dns::Resolver;
use super::live_upstream::LiveUpstream;
use super::moment::Moment;
use super::status::{self, UpstreamStatus};
use super::{health, resolution};

/// How long a config waits for the first lookups of its names before it serves without them: a name
/// server that is down must not keep the gateway from starting.
const FIRST_LOOKUPS: Duration = Duration::from_secs(2);

/// Keeps what is known of upstreams while configs change. Not asked by requests.
#[derive(Default)]
pub struct UpstreamRegistry(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    dns: Dns,
    upstreams: BTreeMap<String, Kept>,
}

struct Kept {
    live: Arc<LiveUpstream>,
    /// Of the transport that its health checks use.
    transport: String,
    /// Lookups and health checks; they end with it.
    _tasks: JoinSet<()>,
}

impl UpstreamRegistry {
    /// The upstream of a config that may come to serve: the present one if nothing about it changes,
    /// else a new one that knows the endpoints that stay. Changes nothing by itself.
    pub fn prepare(&self, name: &str, config: &UpstreamConfig) -> Arc<LiveUpstream> {
        let registered = self.lock();
        let previous = registered.upstreams.get(name).map(|kept| &kept.live);
        match previous.filter(|previous| previous.config == *config) {
            Some(same) => same.clone(),
            None => Arc::new(LiveUpstream::new(
                name,
                config,
                previous.map(|live| &**live),
            )),
        }
    }

    /// The config of these upstreams is about to serve. Returns when their names have been looked up
    /// once, or that takes too long. Runs in a tokio runtime, which cares for them from now on.
    pub async fn settle(&self, upstreams: &[Upstream], dns: &Dns) {
        let (first, mut pending) = mpsc::channel(1);
        self.replace(upstreams, dns, &first);
        drop(first);
        // Ends when each task has dropped its sender.
        if tokio::time::timeout(FIRST_LOOKUPS, pending.recv())
            .await
            .is_err()
        {
            tracing::warn!("names of upstreams are still being looked up");
        }
    }

    fn replace(&self, upstreams: &[Upstream], dns: &Dns, first: &mpsc::Sender<()>) {
        let mut registered = self.lock();
        let same_dns = registered.dns == *dns;
        let mut before = std::mem::take(&mut registered.upstreams);
        registered.dns = dns.clone();
        let mut resolver = None;
        registered.upstreams = upstreams
            .iter()
            .map(|upstream| {
                let transport = upstream.transport.identity();
                let same = before.remove(&*upstream.name).filter(|kept| {
                    let same_upstream = Arc::ptr_eq(&kept.live, &upstream.live);
                    same_dns && same_upstream && kept.transport == transport
                });
                let kept = same.unwrap_or_else(|| Kept {
                    live: upstream.live.clone(),
                    transport,
                    _tasks: care(upstream, &mut resolver, dns, first),
                });
                (upstream.name.to_string(), kept)
            })
            .collect();
    }

    /// All upstreams at this moment, in the order of their names.
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let now = Moment::now();
        let registered = self.lock();
        let upstreams = registered.upstreams.values();
        upstreams.map(|kept| status::of(&kept.live, now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts what cares for an upstream that begins to serve.
fn care(
    upstream: &Upstream,
    resolver: &mut Option<Resolver>,
    dns: &Dns,
    first: &mpsc::Sender<()>,
) -> JoinSet<()> {
    let live = &upstream.live;
    live.begin();
    let mut tasks = JoinSet::new();
    resolve(live, resolver, dns, first, &mut tasks);
    if let Some(check) = &live.config.health_check {
        let transport = upstream.transport.clone();
        tasks.spawn(health::watch(live.clone(), check.clone(), transport));
    }
    tasks
}

/// Starts a task for each name. `resolver` is made when the first one needs it.
fn resolve(
    live: &Arc<LiveUpstream>,
    resolver: &mut Option<Resolver>,
    dns: &Dns,
    first: &mpsc::Sender<()>,
    tasks: &mut JoinSet<()>,
) {
    for (index, weighted) in live.config.endpoints.iter().enumerate() {
        let endpoint = &weighted.endpoint;
        if endpoint.host.parse::<IpAddr>().is_ok() {
            continue;
        }
        if resolver.is_none() {
            match Resolver::new(dns) {
                Ok(made) => *resolver = Some(made),
                Err(error) => {
                    tracing::error!(upstream = &*live.name, "names are not looked up: {error}");
                    return;
                }
            }
        }
        if let Some(resolver) = resolver {
            tasks.spawn(resolution::keep_resolved(
                live.clone(),
                index,
                endpoint.clone(),
                resolver.clone(),
                first.clone(),
            ));
        }
    }
}
