//! A live instance of a policy with its store: made, lent an exchange, dropped or used again.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_config::Isolation;
use wasmtime::component::Instance;
use wasmtime::{AsContextMut, Engine, Store, UpdateDeadline};

use super::bindings::exports::portcullis::policy::{
    on_attempt, on_log, on_request, on_request_body, on_response, on_response_body,
};
use super::limiter::Bounds;
use super::policy::Policy;
use super::state::{HostState, bound_store};
use crate::capability::Capabilities;

/// What `describe` and `configure` may take; they run at load, when nobody waits.
pub const LIFECYCLE_TIME: Duration = Duration::from_secs(5);
/// What `describe` and `configure` may have.
pub(super) const LIFECYCLE_BOUNDS: Bounds = Bounds {
    memory_bytes: 256 << 20,
    table_elements: 20_000,
    handles: 10_000,
    host_calls: u32::MAX,
    body_bytes: 0,
};

/// How long an instance may be idle.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// Calls after which a pooled instance is replaced: bounds what a guest leaks.
const MAX_CALLS: u32 = 10_000;
/// Idle instances that one worker keeps for one use of a policy: as many as may wait for the world
/// at once without new ones being made. They count among the process' live instances.
const MAX_IDLE: usize = 16;

/// A store with a policy's instance in it. A trap, a deadline or a cancelled call leaves it
/// unusable, so it is only given back by a call that ended well.
pub struct Sandbox {
    pub(super) store: Store<HostState>,
    pub(super) instance: Option<Instance>,
    pub(super) guests: Guests,
    calls: u32,
}

/// The hooks' functions in this instance, looked up at first use.
#[derive(Default)]
pub(super) struct Guests {
    pub(super) on_request: Option<on_request::Guest>,
    pub(super) on_request_body: Option<on_request_body::Guest>,
    pub(super) on_attempt: Option<on_attempt::Guest>,
    pub(super) on_response: Option<on_response::Guest>,
    pub(super) on_response_body: Option<on_response_body::Guest>,
    pub(super) on_log: Option<on_log::Guest>,
}

impl Sandbox {
    /// A store for the policy, its instance yet to be made.
    pub fn new(policy: &Policy, worker: usize, place: usize) -> Self {
        let mut state = HostState::new(policy.capabilities.clone(), worker, place, policy.bounds);
        state.desk = policy.reads_bodies.then(Arc::default);
        let may_send = policy.capabilities.outcall.is_some();
        state.outcall_desk = may_send.then(Arc::default);
        Self {
            store: store(policy.pre.engine(), state),
            instance: None,
            guests: Guests::default(),
            calls: 0,
        }
    }

    /// Makes the instance, unless it is there.
    pub(super) async fn instance(&mut self, policy: &Policy) -> wasmtime::Result<Instance> {
        if let Some(instance) = self.instance {
            return Ok(instance);
        }
        let instance = policy.pre.instantiate_async(&mut self.store).await?;
        if let Some(each) = &policy.config {
            let guest = each.indices.load(&mut self.store, &instance)?;
            let phase = self.store.data_mut().phase.take();
            let answer = guest.call_configure(&mut self.store, &each.config).await?;
            self.store.data_mut().phase = phase;
            if answer.is_err() {
                wasmtime::bail!("configure refused a config that it had accepted at load");
            }
        }
        self.instance = Some(instance);
        Ok(instance)
    }
}

/// One worker's idle instances of one use of a policy.
#[derive(Default)]
pub struct SandboxPool {
    idle: RefCell<Vec<(Sandbox, Instant)>>,
}

impl SandboxPool {
    /// The instance that was used last, if one is idle.
    pub fn take(&self) -> Option<Sandbox> {
        self.idle.borrow_mut().pop().map(|(sandbox, _)| sandbox)
    }

    /// Takes back a sandbox whose call ended well, if its policy is pooled and it is not worn out.
    pub fn give_back(&self, policy: &Policy, mut sandbox: Sandbox) {
        if policy.isolation != Isolation::Pooled {
            return;
        }
        sandbox.calls += 1;
        let mut idle = self.idle.borrow_mut();
        if sandbox.calls < MAX_CALLS && idle.len() < MAX_IDLE {
            idle.push((sandbox, Instant::now()));
        }
    }
}

impl SandboxPool {
    /// Drops what a burst has left: instances that have been idle too long.
    pub fn close_idle(&self) {
        self.idle
            .borrow_mut()
            .retain(|(_, since)| since.elapsed() < MAX_IDLE_TIME);
    }
}

/// A store for `describe` and `configure`.
pub(super) fn lifecycle_store(
    engine: &Engine,
    capabilities: Arc<Capabilities>,
) -> Store<HostState> {
    store(engine, HostState::new(capabilities, 0, 0, LIFECYCLE_BOUNDS))
}

fn store(engine: &Engine, state: HostState) -> Store<HostState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    bound_store(store.as_context_mut());
    // A guest that computes across an epoch lets others go on, and is resumed; its end is the
    // timer's matter. By tokio's yield: a plain wake-up would have the worker's `LocalSet` resume it
    // up to 61 times before it looks at its sockets and timers.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| match store.data().excess_of_calls() {
        Some(passed) => Err(passed.into()),
        None => Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        )),
    });
    store
}
