//! What the whole process knows of one address of an upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::moment::Moment;

/// Shared by all workers; outlives configs in which the endpoint stays.
///
/// Each value is true for itself and none guards another, so that `Relaxed` is enough: a worker that
/// reads a value from a moment ago has chosen a moment ago.
#[derive(Debug)]
pub struct EndpointState {
    /// The endpoint as metrics, logs and policies name it.
    pub name: Arc<str>,
    in_flight: AtomicU32,
    healthy: AtomicBool,
    ejected_until: AtomicU64,
    since: AtomicU64,
}

impl EndpointState {
    /// A healthy endpoint without requests, available since then.
    pub fn new(name: Arc<str>, since: Moment) -> Self {
        Self {
            name,
            in_flight: AtomicU32::new(0),
            healthy: AtomicBool::new(true),
            ejected_until: AtomicU64::new(Moment::NEVER.0),
            since: AtomicU64::new(since.0),
        }
    }

    /// Requests that it has been sent and whose responses have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One request more.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One request less.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// What the health checks say; true as long as none has said otherwise.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// The end of the present or last ejection; never if there was none.
    pub fn ejected_until(&self) -> Moment {
        Moment(self.ejected_until.load(Ordering::Relaxed))
    }

    /// Whether it may be sent requests.
    pub fn is_available(&self, now: Moment) -> bool {
        self.is_healthy() && self.ejected_until() <= now
    }

    /// Since when it is, or was last, available.
    pub fn since(&self) -> Moment {
        Moment(self.since.load(Ordering::Relaxed)).max(self.ejected_until())
    }
}
