//! A running gateway: its workers, its metrics listener, the snapshot that it serves.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use portcullis_config::{Config, ConfigErrors, Metrics, Problem};
use tokio::runtime::{Runtime, RuntimeMetrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access_log::registry::AccessLogs;
use crate::capability::kv::KvSpaces;
use crate::capability::redis::RedisBindings;
use crate::control::control_listener::{ControlListener, Gateway};
use crate::control::status_listener::{self, Readiness};
use crate::control::tokens::{TokenError, Tokens};
use crate::listener::{self, ListenerSocket, certificate_watch};
use crate::policy::fault_circuits::FaultCircuits;
use crate::policy::loader::PolicyLoader;
use crate::policy_store;
use crate::policy_store::active::ActiveVersions;
use crate::policy_store::store::{PolicyStore, StoreError};
use crate::publisher::{FirstError, Publisher, first_snapshot};
use crate::snapshot::{Foundations, Snapshot};
use crate::telemetry::metrics::{self, MetricsError};
use crate::telemetry::otlp::Exports;
use crate::telemetry::page::Pages;
use crate::upstream::registry::UpstreamRegistry;
use crate::upstream::status::UpstreamStatus;
use crate::wasm::engine::Engines;
use crate::worker::{Shared, Worker};

/// How long a worker may take to stop after its connections have had their time.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long the last `on-log` hooks may take.
const LAST_HOOKS: Duration = Duration::from_secs(1);
/// How long the last traces and metrics may take to a collector.
const LAST_EXPORTS: Duration = Duration::from_secs(2);
/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why a gateway does not start. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config can't be served.
    #[error("{} problem(s) in the config", .0.len())]
    Config(Vec<Problem>),
    /// A listener's address can't be had.
    #[error("{what} {address}: {}", bind_remedy(.source))]
    Bind {
        /// `listener "http"`, `metrics`.
        what: String,
        /// As configured.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The metrics exporter.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The policy store.
    #[error("policy_store: {0}")]
    Store(#[from] StoreError),
    /// The control API's tokens.
    #[error("control.token_file: {0}")]
    Tokens(#[from] TokenError),
    /// A thread or a runtime.
    #[error("a worker does not start: {0}")]
    Worker(#[source] io::Error),
}

impl From<FirstError> for StartError {
    fn from(error: FirstError) -> Self {
        match error {
            FirstError::Config(problems) => Self::Config(problems),
            FirstError::Store(error) => Self::Store(error),
        }
    }
}

fn bind_remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use by another process; stop that (`ss -ltnp` names it) or choose another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not allowed; ports below 1024 need CAP_NET_BIND_SERVICE, or choose a higher port".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// A gateway that serves.
pub struct Running {
    /// Addresses of the listeners by name, with the port that the system chose where it was 0.
    pub addresses: Vec<(String, SocketAddr)>,
    /// Address of the metrics listener.
    pub metrics_address: Option<SocketAddr>,
    /// Address of the control listener.
    pub control_address: Option<SocketAddr>,
    publisher: Arc<Publisher>,
    stop: watch::Sender<bool>,
    readiness: Readiness,
    threads: Vec<thread::JoinHandle<()>>,
    drain_delay: Duration,
    watches: Vec<JoinHandle<()>>,
    drain_timeout: Duration,
}

/// Checks everything that `start` checks, and starts nothing: the number of policy uses.
pub async fn check(config: &Config, engines: Arc<Engines>) -> Result<usize, StartError> {
    let foundations = foundations(config, engines)?;
    let active = match &config.policy_store {
        Some(store) => PolicyStore::look(&store.directory)?,
        None => ActiveVersions::default(),
    };
    let snapshot = Snapshot::build(config, &active, 1, &foundations)
        .await
        .map_err(StartError::Config)?;
    Ok(snapshot.policy_uses)
}

/// Adds the problems of policies to those of a config that could not be parsed; starts nothing.
pub async fn check_on(errors: ConfigErrors, engines: Arc<Engines>) -> ConfigErrors {
    PolicyLoader::new(engines).check_on(errors, None).await
}

/// Starts a gateway. It serves when this returns. Gateways of one process may share `engines`.
pub async fn start(config: &Config, engines: Arc<Engines>) -> Result<Running, StartError> {
    let foundations = foundations(config, engines.clone())?;
    let store = match &config.policy_store {
        Some(store) => Some(PolicyStore::open(store).await?),
        None => None,
    };
    let snapshot = first_snapshot(config, &foundations, store.as_ref()).await?;
    let (addresses, sockets) = bind_all(config, foundations.workers)?;
    let readiness = Readiness::default();
    let metrics_address = start_metrics(config, &foundations, &readiness).await?;
    let control = bind_control(config).await?;
    let publisher = Publisher::start(config, snapshot, foundations, store).await;
    let publisher = Arc::new(publisher);
    let (stop, stopped) = watch::channel(false);
    let threads = start_workers(&publisher, sockets, &stopped, config.drain_timeout)?;
    readiness.set(true);
    let control_address = control.as_ref().map(|(_, address)| *address);
    if let Some((listener, _)) = control {
        listener.serve(Gateway {
            publisher: publisher.clone(),
            engines,
            readiness: readiness.clone(),
            addresses: addresses.clone(),
        });
    }
    Ok(Running {
        addresses,
        metrics_address,
        control_address,
        watches: start_watches(config, &publisher),
        publisher,
        stop,
        readiness,
        threads,
        drain_delay: config.drain_delay,
        drain_timeout: config.drain_timeout,
    })
}

/// What goes on in the background for as long as the gateway serves.
fn start_watches(config: &Config, publisher: &Arc<Publisher>) -> Vec<JoinHandle<()>> {
    let tickets = publisher.foundations().tickets.clone();
    let certificates = certificate_watch::watch(publisher.shared().clone(), tickets);
    let mut watches = vec![tokio::spawn(certificates)];
    let directory = config.policy_store.as_ref();
    if let Some(directory) = directory.and_then(|store| store.watch.clone()) {
        let policies = policy_store::watch::watch(publisher.clone(), directory);
        watches.push(tokio::spawn(policies));
    }
    watches
}

async fn start_metrics(
    config: &Config,
    foundations: &Foundations,
    readiness: &Readiness,
) -> Result<Option<SocketAddr>, StartError> {
    let Some(Metrics {
        address, max_age, ..
    }) = config.metrics
    else {
        return Ok(None);
    };
    let pages = Pages::new(foundations.metrics.clone(), max_age);
    let started = status_listener::start(address, pages, readiness.clone());
    let bound = started.await.map_err(|source| StartError::Bind {
        what: "metrics".into(),
        address,
        source,
    })?;
    Ok(Some(bound))
}

/// The control listener, bound, and its address.
async fn bind_control(
    config: &Config,
) -> Result<Option<(ControlListener, SocketAddr)>, StartError> {
    let Some(control) = &config.control else {
        return Ok(None);
    };
    let tokens = Tokens::load_or_make(&control.token_file)?;
    let failed = |source| StartError::Bind {
        what: "control".into(),
        address: control.address,
        source,
    };
    let listener = ControlListener::bind(control, tokens)
        .await
        .map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    Ok(Some((listener, bound)))
}

impl Running {
    /// Serves another config from the next request on. Listeners, workers and metrics stay as they
    /// were started. A config with problems changes nothing.
    pub async fn reload(&self, config: &Config) -> Result<u64, Vec<Problem>> {
        self.publisher.reload(config).await
    }

    /// Upstreams and their endpoints at this moment, in the order of their names.
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.publisher.foundations().upstreams.status()
    }

    /// Opens the access log's file anew, for who has renamed it.
    pub fn reopen_access_log(&self) {
        self.publisher.foundations().access_logs.reopen();
    }

    /// A reload has found the config that serves.
    pub fn unchanged(&self) {
        let metrics = &self.publisher.foundations().metrics;
        metrics.config.reload("unchanged");
        metrics.config.read_well(SystemTime::now());
    }

    /// Adds the problems of policies to those of a config that could not be parsed for a reload.
    pub async fn check_on(&self, errors: ConfigErrors) -> ConfigErrors {
        self.publisher.check_on(errors).await
    }

    /// Says that it is not ready, and after the config's `drain_delay` stops accepting; lets requests
    /// finish within `drain_timeout`, ends the workers.
    pub async fn stop(self) {
        self.readiness.set(false);
        self.watches.iter().for_each(JoinHandle::abort);
        tokio::time::sleep(self.drain_delay).await;
        // Nobody listens any more only if all workers have ended.
        let _ = self.stop.send(true);
        let (threads, publisher) = (self.threads, self.publisher);
        let last = publisher.clone();
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
            publisher.foundations().access_logs.close(LAST_LINES);
        });
        if tokio::time::timeout(self.drain_timeout + STOP_GRACE, ended)
            .await
            .is_err()
        {
            tracing::warn!("a worker did not end in time");
        }
        last.foundations().exports.close(LAST_EXPORTS).await;
    }
}

fn foundations(config: &Config, engines: Arc<Engines>) -> Result<Foundations, StartError> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let upstreams = Arc::<UpstreamRegistry>::default();
    let metrics = Arc::new(metrics::Metrics::start()?);
    let seen = Arc::downgrade(&upstreams);
    metrics.observe_upstreams(move || seen.upgrade().map_or_else(Vec::new, |all| all.status()));
    let seen = Arc::downgrade(&engines);
    metrics.observe_instances(move || seen.upgrade().map_or(0, |engines| engines.live_instances()));
    let fault_circuits = Arc::<FaultCircuits>::default();
    let seen = Arc::downgrade(&fault_circuits);
    metrics
        .observe_fault_circuits(move || seen.upgrade().map_or_else(Vec::new, |all| all.readings()));
    let redis = Arc::<RedisBindings>::default();
    let seen = Arc::downgrade(&redis);
    metrics
        .observe_redis_circuits(move || seen.upgrade().map_or_else(Vec::new, |all| all.readings()));
    Ok(Foundations {
        fault_circuits,
        redis,
        loader: PolicyLoader::new(engines).measured(metrics.clone()),
        kv: KvSpaces::default(),
        upstreams,
        metrics,
        tickets: Arc::default(),
        access_logs: AccessLogs::default(),
        exports: Exports::default(),
        workers: config.workers.unwrap_or(cores),
    })
}

type Sockets = Vec<Vec<ListenerSocket>>;

/// Binds every listener, or none: the sockets of each worker.
fn bind_all(
    config: &Config,
    workers: usize,
) -> Result<(Vec<(String, SocketAddr)>, Sockets), StartError> {
    let mut addresses = Vec::new();
    let mut sockets: Sockets = (0..workers).map(|_| Vec::new()).collect();
    for configured in &config.listeners {
        let failed = |source| StartError::Bind {
            what: format!("listener {:?}", configured.name),
            address: configured.address,
            source,
        };
        let bound = listener::bind(configured.address, workers).map_err(failed)?;
        for (worker, socket) in bound.into_iter().enumerate() {
            if worker == 0 {
                addresses.push((
                    configured.name.clone(),
                    socket.local_addr().map_err(failed)?,
                ));
            }
            let name = configured.name.as_str().into();
            sockets[worker].push(ListenerSocket { name, socket });
        }
    }
    Ok((addresses, sockets))
}

fn start_workers(
    publisher: &Publisher,
    sockets: Sockets,
    stopped: &watch::Receiver<bool>,
    drain_timeout: Duration,
) -> Result<Vec<thread::JoinHandle<()>>, StartError> {
    let mut threads = Vec::with_capacity(sockets.len());
    let mut runtimes = Vec::with_capacity(sockets.len());
    for (number, sockets) in sockets.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Worker)?;
        runtimes.push(runtime.metrics());
        let (shared, stopped) = (publisher.shared().clone(), stopped.clone());
        let worker = (number, runtime);
        let thread = start_worker(worker, shared, sockets, stopped, drain_timeout);
        threads.push(thread.map_err(StartError::Worker)?);
    }
    let busy = move |runtime: &RuntimeMetrics| runtime.worker_total_busy_duration(0);
    let metrics = &publisher.foundations().metrics;
    metrics.observe_workers(move || runtimes.iter().map(busy).collect());
    Ok(threads)
}

fn start_worker(
    (number, runtime): (usize, Runtime),
    shared: Arc<Shared>,
    sockets: Vec<ListenerSocket>,
    stopped: watch::Receiver<bool>,
    drain_timeout: Duration,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            let served = tasks.block_on(&runtime, async move {
                let worker = Rc::new(Worker::new(number, shared));
                tokio::task::spawn_local(worker.clone().keep_tidy());
                tokio::task::spawn_local(worker.clone().hand_over_lines());
                let log_queue = worker.log_queue();
                tokio::task::spawn_local(log_queue.clone().work());
                let served = listener::serve(worker, sockets, stopped, drain_timeout).await;
                // What has just ended is still told; a hook that takes its time is not waited for.
                let _ = tokio::time::timeout(LAST_HOOKS, log_queue.idle()).await;
                served
            });
            if let Err(error) = served {
                tracing::error!(worker = number, "the worker ended: {error}");
            }
        })
}
