//! What the whole process knows of one address of an upstream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::moment::Moment;
use super::outlier::Outlier;

/// Shared by all workers; outlives configs in which the endpoint stays.
///
/// Each value is true for itself and none guards another, so that `Relaxed` is enough: a worker that
/// reads a value from a moment ago has chosen a moment ago.
#[derive(Debug)]
pub struct EndpointState {
    /// The endpoint as metrics, logs and policies name it: its address.
    pub name: Arc<str>,
    /// Where to connect to; the first that accepts. More than one only for `localhost`.
    pub addresses: Vec<SocketAddr>,
    /// What its answers to requests say.
    pub outlier: Outlier,
    in_flight: AtomicU32,
    healthy: AtomicBool,
    since: AtomicU64,
}

impl EndpointState {
    /// A healthy endpoint without requests, available since then.
    pub fn new(addresses: Vec<SocketAddr>, since: Moment) -> Self {
        Self {
            name: name(&addresses).into(),
            addresses,
            outlier: Outlier::default(),
            in_flight: AtomicU32::new(0),
            healthy: AtomicBool::new(true),
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

    /// The health checks say so.
    pub fn set_healthy(&self, healthy: bool, now: Moment) {
        if healthy && !self.is_healthy() {
            self.since.store(now.0, Ordering::Relaxed);
        }
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Whether it may be sent requests.
    pub fn is_available(&self, now: Moment) -> bool {
        self.is_healthy() && !self.outlier.is_ejected(now)
    }

    /// Since when it is, or was last, available.
    pub fn since(&self) -> Moment {
        Moment(self.since.load(Ordering::Relaxed)).max(self.outlier.ejected_until())
    }
}

/// The name of the endpoint at these addresses.
pub fn name(addresses: &[SocketAddr]) -> String {
    addresses
        .first()
        .map(SocketAddr::to_string)
        .unwrap_or_default()
}
