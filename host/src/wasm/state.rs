//! What a sandbox's store holds: the exchange that is lent to it, its grants, its limits.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Phase;
use super::body_desk::BodyDesk;
use super::fault::{HostDefect, LimitPassed};
use super::outcall_desk::OutcallDesk;
use super::stream_desk::StreamDesk;
use crate::capability::Capabilities;
use crate::exchange::Exchange;

/// Stands for the exchange that is lent to the sandbox; there is one at most, so the handle's
/// number carries nothing.
#[derive(Debug)]
pub enum ExchangeHandle {}

/// Stands for that exchange's response.
#[derive(Debug)]
pub enum ResponseHandle {}

/// Number of the one exchange and the one response of a call.
pub const THE_ONE: u32 = 0;

/// Tables of one instance may hold this many elements; Rust guests need a few hundred.
const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Core instances, memories and tables of one store: a component with its shims needs 3, 1 and 2.
const MAX_PARTS: usize = 16;

/// The data of one sandbox's store.
pub struct HostState {
    /// Names and grants of the policy use.
    pub capabilities: Arc<Capabilities>,
    /// The worker in whose thread the sandbox runs.
    pub worker: usize,
    /// Place of the policy in its chain.
    pub place: usize,
    /// Which hook is running, `None` during lifecycle calls: then nothing granted is to be had.
    pub phase: Option<Phase>,
    /// Enforces `limits.memory`.
    pub limiter: MemoryLimiter,
    /// Lines that the hook has logged.
    pub log_lines: usize,
    /// `limits.body`; 0 where the policy gets no body.
    pub body_bytes: usize,
    /// Where it asks for one, if it ever does.
    pub desk: Option<Arc<BodyDesk>>,
    /// Where it asks for requests of its own, if it may send any.
    pub outcall_desk: Option<Arc<OutcallDesk>>,
    /// Those that the hook has asked for.
    pub outcalls: u32,
    /// The body that streams through the running hook, if it is one for bodies.
    pub stream: Option<Arc<StreamDesk>>,
    host_calls: u32,
    max_host_calls: u32,
    exchange: Option<Box<Exchange>>,
    wasi: Option<Box<InertWasi>>,
}

impl HostState {
    /// State of a new sandbox.
    pub fn new(
        capabilities: Arc<Capabilities>,
        worker: usize,
        place: usize,
        memory_bytes: usize,
        max_host_calls: u32,
    ) -> Self {
        Self {
            capabilities,
            worker,
            place,
            phase: None,
            limiter: MemoryLimiter {
                memory_bytes,
                used_bytes: 0,
                refused: false,
            },
            log_lines: 0,
            body_bytes: 0,
            desk: None,
            outcall_desk: None,
            outcalls: 0,
            stream: None,
            host_calls: 0,
            max_host_calls,
            exchange: None,
            wasi: None,
        }
    }

    /// Lends the exchange to the hook that is about to run.
    pub fn lend(&mut self, exchange: Box<Exchange>, phase: Phase) {
        self.exchange = Some(exchange);
        self.phase = Some(phase);
        self.limiter.refused = false;
        self.log_lines = 0;
        self.outcalls = 0;
        self.host_calls = 0;
    }

    /// The guest has called a function of the contract: each of them begins with this. Beyond
    /// `limits.host_calls` it is stopped.
    pub fn called(&mut self) -> wasmtime::Result<()> {
        if self.host_calls >= self.max_host_calls {
            return Err(LimitPassed::host_calls(self.max_host_calls).into());
        }
        self.host_calls += 1;
        Ok(())
    }

    /// Some of the body that streams has moved on: the hook may call as often again.
    pub fn body_moved(&mut self) {
        self.host_calls = 0;
    }

    /// Takes the exchange back.
    pub fn take_back(&mut self) -> Option<Box<Exchange>> {
        self.phase = None;
        self.stream = None;
        self.exchange.take()
    }

    /// The lent exchange. A handle that a guest has kept beyond its call can't exist (it is a
    /// borrow), so that an error here is a defect of the host; it costs a trap, not the process.
    pub fn exchange(&mut self) -> wasmtime::Result<&mut Exchange> {
        match &mut self.exchange {
            Some(exchange) => Ok(exchange),
            None => Err(HostDefect("no exchange is lent to this call").into()),
        }
    }
}

/// Bounds what an instance may allocate.
#[derive(Debug)]
pub struct MemoryLimiter {
    /// `limits.memory`.
    memory_bytes: usize,
    /// What the instance's memories have together.
    used_bytes: usize,
    /// The guest asked for more than it may have; tells a trap by memory from other traps.
    pub refused: bool,
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used_bytes = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current));
        let allowed = used_bytes <= self.memory_bytes;
        if allowed {
            self.used_bytes = used_bytes;
        }
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_TABLE_ELEMENTS;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// WASI without a world: clocks, random numbers and a stdio that goes nowhere. Toolchains link it
/// whether the policy uses it or not.
struct InertWasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            Box::new(InertWasi {
                context: WasiCtx::builder().max_random_size(MAX_RANDOM_BYTES).build(),
                table: ResourceTable::new(),
            })
        });
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

/// Sets a store's limits; called once for each store.
pub fn bound_store(mut store: StoreContextMut<'_, HostState>) {
    let state = store.data();
    let outcall = state.capabilities.outcall.as_ref();
    let body_bytes = (state.body_bytes).max(outcall.map_or(0, |grant| grant.body_bytes));
    store.set_hostcall_fuel(MAX_HOSTCALL_BYTES.max(body_bytes + BESIDE_A_BODY_BYTES));
    store.set_max_component_handles(MAX_HANDLES);
}

/// Bytes that a guest may hand to the host in one call: a whole answer of a policy fits.
const MAX_HOSTCALL_BYTES: usize = 4 << 20;
/// What else a call may hand over that brings a body.
const BESIDE_A_BODY_BYTES: usize = 64 << 10;
/// Handles that a guest may own: today's contract lends four.
const MAX_HANDLES: usize = 64;
/// Random bytes that WASI gives in one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_limit_holds_for_all_memories_together() {
        let mut limiter = MemoryLimiter {
            memory_bytes: 100,
            used_bytes: 0,
            refused: false,
        };
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.refused);
        assert!(limiter.memory_growing(60, 100, None).unwrap());
    }
}
