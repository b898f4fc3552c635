//! One worker's line to a binding's servers: the connection in use, or why there is none.
//!
//! Connections are made beside the calls, one attempt at a time, and failed attempts are repeated less and less
//! often. Calls wait for an attempt no longer than one deadline from its start, so that a server which takes
//! connections and says nothing costs the first calls their deadline, and later ones nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{Object, Pool, PoolError};
use deadpool_redis::Runtime;
use tokio::sync::watch;

use super::circuit::Circuit;
use super::connector::Connector;
use super::failure::{Failure, LinkFate};
use super::link::Link;
use crate::telemetry::redis::BindingMetrics;

/// After one failed attempt to connect; after further ones twice as long each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A connection that is doubted earlier is kept: its replacement would be doubted as well.
const DOUBTED_AFTER: Duration = Duration::from_secs(1);
/// A connection to Sentinels or to a cluster is several: the first to ask the way.
const STEPS: u32 = 3;

/// It lives in the runtime of its worker.
pub(super) struct Line {
    pool: Pool<Connector>,
    status: watch::Sender<Status>,
    numbers: AtomicU64,
    failed_attempts: AtomicU32,
    max_pause: Duration,
    circuit: Arc<Circuit>,
    metrics: Arc<BindingMetrics>,
}

enum Status {
    /// Nobody has wanted a connection.
    Idle,
    /// An attempt is under way.
    Connecting { since: Instant },
    /// Calls can be made.
    Up(Up),
    /// The last attempt has failed.
    Down { until: Instant, failure: Failure },
}

/// A connection in use.
#[derive(Clone)]
pub(super) struct Up {
    /// Tells it from the line's other ones.
    number: u64,
    /// [`Circuit::openings`] when it was made.
    openings: u64,
    made: Instant,
    pub(super) link: Link,
}

/// Why there is no connection.
pub(super) enum NoLink {
    /// The attempt takes too long to wait for.
    Connecting,
    /// It has failed.
    Failed(Failure),
}

impl Line {
    /// Makes no connection before one is used.
    pub(super) fn new(
        connector: Connector,
        connect_timeout: Duration,
        max_pause: Duration,
        circuit: Arc<Circuit>,
        metrics: Arc<BindingMetrics>,
    ) -> Self {
        let pool = Pool::builder(connector)
            .max_size(1)
            .create_timeout(Some(connect_timeout * STEPS))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with time-outs has a runtime");
        Self {
            pool,
            status: watch::Sender::new(Status::Idle),
            numbers: AtomicU64::new(0),
            failed_attempts: AtomicU32::new(0),
            max_pause,
            circuit,
            metrics,
        }
    }

    /// The connection, made if there is none. Waits no longer than `patience` from the start of an attempt.
    pub(super) async fn up(self: &Arc<Self>, patience: Duration) -> Result<Up, NoLink> {
        if let Status::Up(up) = &*self.status.borrow() {
            return Ok(up.clone());
        }
        self.begin(Instant::now());
        let mut seen = self.status.subscribe();
        let waits = match &*seen.borrow_and_update() {
            Status::Connecting { since } => patience.saturating_sub(since.elapsed()),
            Status::Up(up) => return Ok(up.clone()),
            Status::Down { failure, .. } => return Err(NoLink::Failed(failure.clone())),
            Status::Idle => return Err(NoLink::Connecting),
        };
        let ended = seen.wait_for(|status| !matches!(status, Status::Connecting { .. }));
        let Ok(Ok(status)) = tokio::time::timeout(waits, ended).await else {
            return Err(NoLink::Connecting);
        };
        match &*status {
            Status::Up(up) => Ok(up.clone()),
            Status::Down { failure, .. } => Err(NoLink::Failed(failure.clone())),
            Status::Idle | Status::Connecting { .. } => Err(NoLink::Connecting),
        }
    }

    /// Whether a server answers a PING within the deadline; a connection is made if there is none, however
    /// recently that has failed, and replaced if it does not answer.
    pub(super) async fn probe(self: &Arc<Self>, deadline: Duration) -> bool {
        self.pause_no_longer();
        // An attempt has an end of its own.
        let Ok(mut up) = self.up(Duration::MAX).await else {
            return false;
        };
        let answer = tokio::time::timeout(deadline, up.link.ping()).await;
        let is_cluster = up.link.is_cluster();
        let answers = match answer {
            Ok(Ok(())) => true,
            Ok(Err(error)) => Failure::of(error, is_cluster).is_answer(),
            Err(_) => false,
        };
        if !answers {
            self.leave(&up);
        }
        answers
    }

    /// The next call makes a connection, unless that has been done since.
    pub(super) fn leave(&self, up: &Up) {
        self.status.send_if_modified(|status| {
            let is_current = matches!(status, Status::Up(current) if current.number == up.number);
            if is_current {
                *status = Status::Idle;
            }
            is_current
        });
    }

    /// The next call may try to connect, however recently that has failed.
    pub(super) fn pause_no_longer(&self) {
        self.status.send_if_modified(|status| {
            let is_down = matches!(status, Status::Down { .. });
            if is_down {
                *status = Status::Idle;
            }
            is_down
        });
    }

    /// A call over this connection has failed. Whether that says something of the server: over a connection of
    /// before the circuit opened it does not, since the server may have been replaced with all its connections.
    pub(super) fn failed(&self, up: &Up, failure: &Failure) -> bool {
        if up.link.is_cluster() {
            return true;
        }
        let is_stale = up.openings < self.circuit.openings();
        let is_replaced = match failure.link {
            LinkFate::Kept => false,
            LinkFate::Doubted => up.made.elapsed() >= DOUBTED_AFTER,
            LinkFate::Broken => true,
        };
        if is_replaced || is_stale {
            self.leave(up);
        }
        !is_stale
    }

    /// Starts an attempt, unless one is under way, or has failed a moment ago.
    fn begin(self: &Arc<Self>, now: Instant) {
        let starts = self.status.send_if_modified(|status| {
            let starts = match status {
                Status::Idle => true,
                Status::Down { until, .. } => now >= *until,
                Status::Connecting { .. } | Status::Up(_) => false,
            };
            if starts {
                *status = Status::Connecting { since: now };
            }
            starts
        });
        if starts {
            let attempt = Attempt(self.clone());
            tokio::spawn(async move {
                let made = attempt.0.pool.get().await;
                // Taken from the pool for good: one that has failed must not be handed out again.
                attempt.0.end(made.map(Object::take));
            });
        }
    }

    fn end(&self, made: Result<Link, PoolError<deadpool_redis::redis::RedisError>>) {
        match made {
            Ok(link) => {
                self.metrics.connected();
                self.failed_attempts.store(0, Ordering::Relaxed);
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                let up = Up {
                    number,
                    openings: self.circuit.openings(),
                    made: Instant::now(),
                    link,
                };
                self.status.send_replace(Status::Up(up));
            }
            Err(error) => self.fail(match error {
                // The steps of a connection have their own time; is_cluster tells of answers to calls.
                PoolError::Backend(error) => Failure::of(error, true),
                other => Failure::unavailable(other.to_string()),
            }),
        }
    }

    fn fail(&self, failure: Failure) {
        self.metrics.connection_failed();
        let before = self.failed_attempts.fetch_add(1, Ordering::Relaxed);
        let pause = FIRST_PAUSE.saturating_mul(1 << before.min(16));
        let until = Instant::now() + pause.min(self.max_pause);
        let failure = failure.of_connection();
        self.status.send_replace(Status::Down { until, failure });
    }
}

/// An attempt to connect; one that is dropped before its end has failed.
struct Attempt(Arc<Line>);

impl Drop for Attempt {
    fn drop(&mut self) {
        let is_open = matches!(&*self.0.status.borrow(), Status::Connecting { .. });
        if is_open {
            self.0
                .fail(Failure::unavailable("the attempt to connect was given up"));
        }
    }
}
