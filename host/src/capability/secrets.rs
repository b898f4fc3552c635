//! `secrets`: what the operator has granted a policy to read, by name; nothing during lifecycle calls, so
//! that no secret gets into a snapshot.

use crate::wasm::bindings::portcullis::capability::secrets::Host;
use crate::wasm::state::HostState;

impl Host for HostState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.called()?;
        if self.phase.is_none() {
            return Ok(None);
        }
        let secret = self.capabilities.secrets.get(&name);
        Ok(secret.map(|secret| secret.expose().to_owned()))
    }
}
