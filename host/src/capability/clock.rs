//! `clock`: the host's clocks, in microseconds; 0 during lifecycle calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::wasm::bindings::portcullis::capability::clock::Host;
use crate::wasm::state::HostState;

/// One start for the whole process, so that workers' policies read the same clock.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Which time it is for a policy.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that is moved by hand, for tests of policies.
    Virtual(Arc<VirtualClock>),
}

/// A clock that stands still unless it is moved.
#[derive(Debug)]
pub struct VirtualClock {
    start: Instant,
    unix_start: Duration,
    moved_us: AtomicU64,
}

impl Clock {
    /// Since the process began, or the clock.
    fn elapsed(&self) -> Duration {
        match self {
            Self::System => START.elapsed(),
            Self::Virtual(clock) => clock.moved(),
        }
    }

    /// Now, for what ends after a while.
    pub fn instant(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Virtual(clock) => clock.start + clock.moved(),
        }
    }

    /// Since 1970.
    pub fn since_epoch(&self) -> Duration {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            Self::Virtual(clock) => clock.unix_start + clock.moved(),
        }
    }
}

impl VirtualClock {
    /// A clock that shows this time since 1970.
    pub fn at(unix_start: Duration) -> Self {
        Self {
            start: Instant::now(),
            unix_start,
            moved_us: AtomicU64::new(0),
        }
    }

    /// Moves it on, by whole microseconds.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.moved_us.fetch_add(by, Ordering::Relaxed);
    }

    /// By how much it was moved so far.
    pub fn moved(&self) -> Duration {
        Duration::from_micros(self.moved_us.load(Ordering::Relaxed))
    }
}

impl Host for HostState {
    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        Ok(match self.phase {
            // From 1, so that 0 always means "no clock".
            Some(_) => {
                let elapsed = self.capabilities.clock.elapsed();
                1 + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX - 1)
            }
            None => 0,
        })
    }

    fn unix_us(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        Ok(match self.phase {
            Some(_) => {
                let since = self.capabilities.clock.since_epoch();
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }
            None => 0,
        })
    }
}
