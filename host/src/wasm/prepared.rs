//! A component that was configured and compiled for a use, linked: what instances are made of.

use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};

use super::Phase;
use super::bindings::exports::portcullis::policy::{
    lifecycle, on_attempt, on_log, on_request, on_request_body, on_response, on_response_body,
};
use super::description::Interfaces;
use super::state::HostState;

/// Shared by all uses of a policy that have the same config on the same terms.
pub struct Prepared {
    pub(super) pre: InstancePre<HostState>,
    pub(super) hooks: Arc<HookIndices>,
    /// Imports a function that waits for a body.
    pub(super) reads_bodies: bool,
    /// Given to `configure` of each new instance; `None` where the config is in the code.
    pub(super) config: Option<Arc<ConfigureEach>>,
}

/// Where the hooks are among the component's exports; `None` where one is not exported.
pub(super) struct HookIndices {
    pub(super) on_request: Option<on_request::GuestIndices>,
    pub(super) on_request_body: Option<on_request_body::GuestIndices>,
    pub(super) on_attempt: Option<on_attempt::GuestIndices>,
    pub(super) on_response: Option<on_response::GuestIndices>,
    pub(super) on_response_body: Option<on_response_body::GuestIndices>,
    pub(super) on_log: Option<on_log::GuestIndices>,
}

/// For components whose state can't be kept: each instance is configured before its first hook.
pub(super) struct ConfigureEach {
    pub(super) indices: lifecycle::GuestIndices,
    pub(super) config: String,
}

impl Prepared {
    /// Links compiled code; `config` is for each instance, where it is not in the code.
    pub(super) fn link(
        linker: &Linker<HostState>,
        code: &Component,
        interfaces: &Interfaces,
        config: Option<String>,
    ) -> wasmtime::Result<Self> {
        // The pages of the image are copied on write; made here, so that no request waits for it.
        code.initialize_copy_on_write_image()?;
        let pre = linker.instantiate_pre(code)?;
        let config = match config {
            Some(config) => Some(Arc::new(ConfigureEach {
                indices: lifecycle::GuestIndices::new(&pre)?,
                config,
            })),
            None => None,
        };
        let hooks = interfaces.hooks().map_err(wasmtime::Error::msg)?;
        Ok(Self {
            hooks: Arc::new(HookIndices::find(&pre, &hooks)?),
            pre,
            reads_bodies: interfaces.reads_bodies(),
            config,
        })
    }
}

impl HookIndices {
    fn find(pre: &InstancePre<HostState>, hooks: &[Phase]) -> wasmtime::Result<Self> {
        let exports = |phase| hooks.contains(&phase);
        Ok(Self {
            on_request: exports(Phase::OnRequest)
                .then(|| on_request::GuestIndices::new(pre))
                .transpose()?,
            on_request_body: exports(Phase::OnRequestBody)
                .then(|| on_request_body::GuestIndices::new(pre))
                .transpose()?,
            on_attempt: exports(Phase::OnAttempt)
                .then(|| on_attempt::GuestIndices::new(pre))
                .transpose()?,
            on_response: exports(Phase::OnResponse)
                .then(|| on_response::GuestIndices::new(pre))
                .transpose()?,
            on_response_body: exports(Phase::OnResponseBody)
                .then(|| on_response_body::GuestIndices::new(pre))
                .transpose()?,
            on_log: exports(Phase::OnLog)
                .then(|| on_log::GuestIndices::new(pre))
                .transpose()?,
        })
    }
}
