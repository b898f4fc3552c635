//! `random`: bits from the thread's generator, which the system seeds; 0 during lifecycle calls.

use crate::wasm::bindings::portcullis::capability::random::Host;
use crate::wasm::state::HostState;

impl Host for HostState {
    fn next(&mut self) -> wasmtime::Result<u64> {
        self.called()?;
        Ok(if self.phase.is_some() {
            rand::random()
        } else {
            0
        })
    }
}
