//! One share-nothing worker: a thread, its runtime, its own connections and policy instances.
//!
//! The only things that workers share are immutable (a snapshot) or made for it (kv, counters).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::access_log::lines::Lines;
use crate::permits::Permits;
use crate::policy::log_queue::LogQueue;
use crate::policy::recent_faults::RecentFaults;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::route::RouteSlots;
use crate::upstream::pools::UpstreamPools;
use crate::wasm::sandbox::SandboxPool;

/// How often connections that have been idle too long are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(5);
/// How long a line of the access log may wait for others.
const LOG_DELAY: Duration = Duration::from_millis(100);

/// What the control side changes and workers read.
pub struct Shared {
    /// The config that serves, compiled.
    pub snapshot: ArcSwap<Snapshot>,
    /// The process' metrics.
    pub metrics: Arc<Metrics>,
    /// What clients hold.
    pub permits: Arc<Permits>,
    /// Of policies.
    pub recent_faults: Arc<RecentFaults>,
}

/// A worker's own state.
pub struct Worker {
    number: usize,
    shared: Arc<Shared>,
    current: RefCell<Rc<Revision>>,
    /// Told when the access log has lines that wait to be handed over.
    logged: Rc<Notify>,
    id_prefix: String,
    next_id: Cell<u64>,
}

/// A snapshot with what this worker keeps for it.
pub struct Revision {
    /// The config, compiled.
    pub snapshot: Arc<Snapshot>,
    /// Connections, in the order of the snapshot's upstreams.
    pub upstreams: Vec<UpstreamPools>,
    /// Idle policy instances, in the order of the snapshot's policy uses.
    pub sandboxes: Vec<SandboxPool>,
    /// What is measured of routes, in the order of their places in the config.
    pub slots: Vec<RouteSlots>,
    /// For requests that no route matched.
    pub unrouted: RouteSlots,
    /// The process' metrics.
    pub metrics: Arc<Metrics>,
    /// What clients hold, in the whole process.
    pub permits: Arc<Permits>,
    /// The last faults of policies, in the whole process.
    pub recent_faults: Arc<RecentFaults>,
    /// Lines for the access log, if there is one.
    pub access_log: Option<Rc<Lines>>,
    /// What policies are to be asked `on-log`; the worker's, whatever the revision.
    pub log_queue: Rc<LogQueue>,
    /// The worker's number.
    pub worker: usize,
}

impl Worker {
    /// A worker that serves the present snapshot.
    pub fn new(number: usize, shared: Arc<Shared>) -> Self {
        let mut first = revision(number, &shared, shared.snapshot.load_full(), None);
        let logged = Rc::<Notify>::default();
        first.access_log = lines(&first.snapshot, None, &logged);
        let first = Rc::new(first);
        Self {
            number,
            current: RefCell::new(first),
            shared,
            logged,
            id_prefix: format!("{:016x}", rand::random::<u64>()),
            next_id: Cell::new(0),
        }
    }

    /// The present revision; a request keeps the one that it began with.
    pub fn revision(&self) -> Rc<Revision> {
        let latest = self.shared.snapshot.load();
        if !Arc::ptr_eq(&latest, &self.current.borrow().snapshot) {
            let last = self.current.borrow().clone();
            let mut next = revision(self.number, &self.shared, Arc::clone(&latest), Some(&last));
            next.access_log = lines(&latest, Some(&last), &self.logged);
            *self.current.borrow_mut() = Rc::new(next);
        }
        self.current.borrow().clone()
    }

    /// What policies are to be asked `on-log`.
    pub fn log_queue(&self) -> Rc<LogQueue> {
        self.current.borrow().log_queue.clone()
    }

    /// The process' metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// What clients hold, in the whole process.
    pub fn permits(&self) -> &Arc<Permits> {
        &self.shared.permits
    }

    /// 32 hexadecimal digits that no other exchange has: 64 random bits of the worker, and a count.
    pub fn next_id(&self) -> String {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        // By hand, as every request has one and `format!` is slow at padding.
        let mut text = String::with_capacity(32);
        text.push_str(&self.id_prefix);
        for shift in (0..u64::BITS).step_by(4).rev() {
            let digit = char::from_digit((id >> shift) as u32 & 0xf, 16);
            text.extend(digit);
        }
        text
    }

    /// Hands the access log's lines over soon after the first; runs as long as the worker.
    pub async fn hand_over_lines(self: Rc<Self>) {
        loop {
            self.logged.notified().await;
            tokio::time::sleep(LOG_DELAY).await;
            if let Some(lines) = &self.current.borrow().access_log {
                lines.flush();
            }
        }
    }

    /// Closes connections and drops instances that have been idle too long; runs as long as the worker.
    pub async fn keep_tidy(self: Rc<Self>) {
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            // Also lets go of a revision that no request has replaced.
            let revision = self.revision();
            revision.sandboxes.iter().for_each(SandboxPool::close_idle);
            revision
                .upstreams
                .iter()
                .for_each(UpstreamPools::close_idle);
        }
    }
}

fn revision(
    worker: usize,
    shared: &Shared,
    snapshot: Arc<Snapshot>,
    last: Option<&Revision>,
) -> Revision {
    // What no upstream names any more is dropped with the last revision, and closes when its last
    // exchange has ended.
    let upstreams = snapshot.upstreams.iter().map(|upstream| {
        let mut known = last.into_iter().flat_map(|last| &last.upstreams);
        let same = known.find(|pools| pools.name() == &*upstream.name);
        UpstreamPools::new(upstream, worker, same)
    });
    Revision {
        upstreams: upstreams.collect(),
        sandboxes: (0..snapshot.policy_uses)
            .map(|_| SandboxPool::default())
            .collect(),
        slots: snapshot
            .route_series
            .iter()
            .map(|series| RouteSlots::new(series.clone()))
            .collect(),
        unrouted: RouteSlots::new(shared.metrics.unrouted()),
        metrics: shared.metrics.clone(),
        permits: shared.permits.clone(),
        recent_faults: shared.recent_faults.clone(),
        access_log: None,
        log_queue: last.map(|last| last.log_queue.clone()).unwrap_or_default(),
        worker,
        snapshot,
    }
}

/// Lines for a snapshot's access log: the last revision's, if they go to the same.
fn lines(snapshot: &Snapshot, last: Option<&Revision>, logged: &Rc<Notify>) -> Option<Rc<Lines>> {
    let log = snapshot.access_log.as_ref()?;
    let known = last.and_then(|last| last.access_log.clone());
    let same = known.filter(|lines| lines.belong_to(log));
    Some(same.unwrap_or_else(|| Rc::new(Lines::new(log.clone(), logged.clone()))))
}
