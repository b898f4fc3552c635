//! `random`: bits from the thread's generator, which the system seeds; 0 during lifecycle calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::wasm::bindings::portcullis::capability::random::Host;
use crate::wasm::state::HostState;

/// Where a policy's random bits come from.
#[derive(Debug, Clone, Default)]
pub enum RandomSource {
    /// The thread's generator.
    #[default]
    Generator,
    /// A list, for tests of policies.
    Listed(Arc<ListedBits>),
}

/// Bits that come round and round, as they were listed; 0 for ever where nothing is.
#[derive(Debug, Default)]
pub struct ListedBits {
    bits: Vec<u64>,
    next: AtomicUsize,
}

impl ListedBits {
    /// Those bits.
    pub fn new(bits: Vec<u64>) -> Self {
        Self {
            bits,
            next: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> u64 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let place = next.checked_rem(self.bits.len()).unwrap_or(0);
        self.bits.get(place).copied().unwrap_or(0)
    }
}

impl Host for HostState {
    fn next(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        Ok(match (self.phase, &self.capabilities.random) {
            (None, _) => 0,
            (_, RandomSource::Generator) => rand::random(),
            (_, RandomSource::Listed(list)) => list.next(),
        })
    }
}
