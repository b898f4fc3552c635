//! `metrics`: a policy's own series, under `policy.` and with the names of the policy and the route.

use crate::wasm::bindings::portcullis::capability::metrics::Host;
use crate::wasm::state::HostState;

type Labels = Vec<(String, String)>;

impl Host for HostState {
    fn count(&mut self, name: String, by: f64, labels: Labels) -> wasmtime::Result<()> {
        self.called()?;
        if let (Some(counters), Some(_)) = (&self.capabilities.metrics, self.phase) {
            counters.count(&name, by, &labels);
        }
        Ok(())
    }

    fn gauge(&mut self, name: String, value: f64, labels: Labels) -> wasmtime::Result<()> {
        self.called()?;
        if let (Some(counters), Some(_)) = (&self.capabilities.metrics, self.phase) {
            counters.gauge(&name, value, &labels);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64, labels: Labels) -> wasmtime::Result<()> {
        self.called()?;
        if let (Some(counters), Some(_)) = (&self.capabilities.metrics, self.phase) {
            counters.observe(&name, value, &labels);
        }
        Ok(())
    }
}
