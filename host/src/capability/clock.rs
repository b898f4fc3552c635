//! `clock`: the host's clocks, in microseconds; 0 during lifecycle calls.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::wasm::bindings::portcullis::capability::clock::Host;
use crate::wasm::state::HostState;

/// One start for the whole process, so that workers' policies read the same clock.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Host for HostState {
    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        Ok(match self.phase {
            // From 1, so that 0 always means "no clock".
            Some(_) => 1 + u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX - 1),
            None => 0,
        })
    }

    fn unix_us(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        let since = match self.phase {
            Some(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            None => return Ok(0),
        };
        Ok(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}
