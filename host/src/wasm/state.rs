//! What a sandbox's store holds: the exchange that is lent to it, its grants, its limits.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Phase;
use super::body_desk::BodyDesk;
use super::fault::{HostDefect, LimitPassed};
use super::limiter::{Bounds, Limiter};
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
    /// Enforces `limits.memory` and `limits.table_elements`.
    pub limiter: Limiter,
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
    bounds: Bounds,
    host_calls: u32,
    exchange: Option<Box<Exchange>>,
    wasi: Option<Box<InertWasi>>,
}

impl HostState {
    /// State of a new sandbox.
    pub fn new(
        capabilities: Arc<Capabilities>,
        worker: usize,
        place: usize,
        bounds: Bounds,
    ) -> Self {
        Self {
            capabilities,
            worker,
            place,
            phase: None,
            limiter: Limiter::new(&bounds),
            log_lines: 0,
            body_bytes: bounds.body_bytes,
            desk: None,
            outcall_desk: None,
            outcalls: 0,
            stream: None,
            bounds,
            host_calls: 0,
            exchange: None,
            wasi: None,
        }
    }

    /// Lends the exchange to the hook that is about to run.
    pub fn lend(&mut self, exchange: Box<Exchange>, phase: Phase) {
        self.exchange = Some(exchange);
        self.phase = Some(phase);
        self.limiter.refused = None;
        self.log_lines = 0;
        self.outcalls = 0;
        self.host_calls = 0;
    }

    /// The guest has called a function of the contract: each of them begins with this. Beyond
    /// `limits.host_calls` it is stopped.
    pub fn called(&mut self) -> wasmtime::Result<()> {
        self.host_calls = self.host_calls.saturating_add(1);
        match self.excess_of_calls() {
            Some(passed) => Err(passed.into()),
            None => Ok(()),
        }
    }

    /// `limits.host_calls`, if the hook has passed it. A call of WASI can't be refused: who has made too many is
    /// stopped at its next call of the contract, after its next slice of time, or when it has ended.
    pub fn excess_of_calls(&self) -> Option<LimitPassed> {
        let most = self.bounds.host_calls;
        (self.host_calls > most).then(|| LimitPassed::host_calls(most))
    }

    /// `limits.handles`.
    pub fn max_handles(&self) -> usize {
        self.bounds.handles
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

/// WASI without a world: clocks, random numbers and a stdio that goes nowhere. Toolchains link it
/// whether the policy uses it or not.
struct InertWasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for HostState {
    /// Each function of WASI asks for this once.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.host_calls = self.host_calls.saturating_add(1);
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
    let handles = store.data().max_handles();
    store.set_max_component_handles(handles);
}

/// Bytes that a guest may hand to the host in one call: a whole answer of a policy fits.
const MAX_HOSTCALL_BYTES: usize = 4 << 20;
/// What else a call may hand over that brings a body.
const BESIDE_A_BODY_BYTES: usize = 64 << 10;
/// Random bytes that WASI gives in one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
