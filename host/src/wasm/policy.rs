//! One use of a policy: what instances are made of, and the terms on which they run.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Isolation;
use wasmtime::component::InstancePre;

use super::Phase;
use super::limiter::Bounds;
use super::prepared::{ConfigureEach, HookIndices, Prepared};
use super::state::HostState;
use crate::capability::Capabilities;

/// One use of a policy: its component with this use's config, ready to be instantiated.
pub struct Policy {
    pub(super) pre: InstancePre<HostState>,
    pub(super) hooks: Arc<HookIndices>,
    pub(super) capabilities: Arc<Capabilities>,
    /// Whether instances may live beyond one hook.
    pub isolation: Isolation,
    /// Time that one hook may take, host calls included.
    pub time: Duration,
    /// What each of its sandboxes may take.
    pub(super) bounds: Bounds,
    /// Imports a function that waits for a body.
    pub(super) reads_bodies: bool,
    /// Given to `configure` of each new instance; `None` where the config is in the snapshot.
    pub(super) config: Option<Arc<ConfigureEach>>,
    /// Found by the next revision that has the same use, as long as this one is there.
    _prepared: Arc<Prepared>,
}

/// How a use is run.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// Fresh instance for each hook, or instances that are used again.
    pub isolation: Isolation,
    /// Time that one hook may take.
    pub time: Duration,
    /// What one sandbox may take.
    pub bounds: Bounds,
}

impl Policy {
    /// A use of what was prepared.
    pub fn new(prepared: Arc<Prepared>, capabilities: Arc<Capabilities>, running: Running) -> Self {
        Self {
            pre: prepared.pre.clone(),
            hooks: prepared.hooks.clone(),
            capabilities,
            isolation: running.isolation,
            time: running.time,
            bounds: running.bounds,
            reads_bodies: prepared.reads_bodies,
            config: prepared.config.clone(),
            _prepared: prepared,
        }
    }

    /// Whether the policy wants to be asked at this phase.
    pub fn exports(&self, phase: Phase) -> bool {
        match phase {
            Phase::OnRequest => self.hooks.on_request.is_some(),
            Phase::OnRequestBody => self.hooks.on_request_body.is_some(),
            Phase::OnAttempt => self.hooks.on_attempt.is_some(),
            Phase::OnResponse => self.hooks.on_response.is_some(),
            Phase::OnResponseBody => self.hooks.on_response_body.is_some(),
            Phase::OnLog => self.hooks.on_log.is_some(),
        }
    }
}
