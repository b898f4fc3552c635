//! Instants that fit an atomic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Milliseconds since the process first asked; from 1, so that 0 can stand for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Before every other.
    pub const NEVER: Self = Self(0);

    /// Which moment it was at that instant.
    pub fn at(instant: Instant) -> Self {
        static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(1 + millis(instant.saturating_duration_since(*EPOCH)))
    }

    /// The present one.
    pub fn now() -> Self {
        Self::at(Instant::now())
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time from `earlier` until this one, zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
