//! The wasmtime engines and their settings; the thread that makes epochs pass.
//!
//! One engine serves requests; it compiles nothing. Those that compile, and run `describe` and `configure` once at
//! load, live in the compile child. Every setting below was measured; `make bench` shows what they come to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{
    CacheStore, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, Strategy,
};

use super::compile::compiler::{Compiler, CompilerSettings};

/// How long a guest may compute before it lets its worker's other requests go on. Also how late
/// the end of a hook's time is noticed in a guest that never calls the host.
const EPOCH: Duration = Duration::from_millis(2);

/// Parts of the process' memory that the kernel counts (`vm.max_map_count`, 65,530 by default): those of a live
/// instance, of which two are its stack's and there from the start.
const MAPS_OF_AN_INSTANCE: u64 = 6;
/// Parts that everything else may have: beyond the kernel's count no allocation succeeds.
const OTHER_MAPS: u64 = 5_000;

/// A component with imports is linked from three core modules (itself and two shims) with two tables.
const CORE_INSTANCES_PER_COMPONENT: u32 = 3;
const TABLES_PER_COMPONENT: u32 = 2;

/// Larger than any `limits.memory` that the config accepts; costs address space only.
const MAX_MEMORY_BYTES: usize = 1 << 30;

/// Memory of a slot that is zeroed in place, by PAGEMAP_SCAN only where it was written, instead of
/// being unmapped: a page fault costs ~40 times as much as zeroing the page.
const MEMORY_KEEP_RESIDENT: usize = 2 << 20;
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// Stack of the guest; the fiber adds as much again for host functions.
const WASM_STACK: usize = 512 << 10;

/// What serves policies in a process, and what makes them ready.
pub struct Engines {
    /// Serves requests: pooled memory, code from elsewhere.
    pub serving: Engine,
    /// Makes policies ready to be served.
    pub compiler: Compiler,
    _epochs: EpochTicker,
}

/// A machine or a setting that wasmtime refuses.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Most often too little address space (`ulimit -v`).
    #[error("the WebAssembly engine does not start: {0:#}")]
    Wasmtime(#[from] wasmtime::Error),
    /// No thread for the epochs.
    #[error("the WebAssembly engine's clock thread does not start: {0}")]
    Thread(#[from] std::io::Error),
}

impl Engines {
    /// Starts the engine that serves, with room for so many live instances at once, or as many of them as the kernel
    /// has room for. Policies are compiled by children of [`CompilerSettings::program`].
    pub fn start(settings: CompilerSettings, instances: u32) -> Result<Self, EngineError> {
        let serving = Engine::new(&serving_config(bounded_by_kernel(instances)))?;
        let epochs = EpochTicker::start(serving.clone())?;
        Ok(Self {
            compiler: Compiler::new(serving.clone(), settings)?,
            serving,
            _epochs: epochs,
        })
    }

    /// Instances of policies in memory, idle ones included.
    pub fn live_instances(&self) -> u64 {
        let pool = self.serving.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }
}

/// What the code of the compile child and the engine that serves it must agree on, with settings for both.
fn common_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Component-model async is not part of the contract, and costs 3.5–5 µs for each fresh instance.
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(2 * WASM_STACK);
    config
}

fn code_config() -> Config {
    let mut config = common_config();
    config.cranelift_opt_level(OptLevel::Speed);
    config
}

fn serving_config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_memories(instances)
        .total_core_instances(instances * CORE_INSTANCES_PER_COMPONENT)
        .total_tables(instances * TABLES_PER_COMPONENT)
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Compiles what [`Engines::serving`] runs, in the compile child. It has no pool: how instances are allocated is
/// no part of the code, and a pool's addresses take a moment to reserve.
pub(super) fn compiling() -> wasmtime::Result<Engine> {
    let mut config = code_config();
    config.enable_incremental_compilation(Arc::new(CompiledFunctions::default()))?;
    Engine::new(&config)
}

/// Compiles quickly what runs once, in the compile child. It knows neither every machine nor every instruction.
pub(super) fn winch() -> wasmtime::Result<Engine> {
    let mut config = common_config();
    config.strategy(Strategy::Winch);
    Engine::new(&config)
}

/// Compiles less quickly what Winch can't.
pub(super) fn unoptimised() -> wasmtime::Result<Engine> {
    let mut config = common_config();
    config.cranelift_opt_level(OptLevel::None);
    Engine::new(&config)
}

/// Functions that one child has compiled: uses of a component differ in their data, not in their code.
#[derive(Debug, Default)]
struct CompiledFunctions(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl CacheStore for CompiledFunctions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let functions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        functions.get(key).cloned().map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let mut functions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        functions.insert(key.to_vec(), value);
        true
    }
}

/// As many instances as the kernel has room for; fewer than are wanted are said so.
fn bounded_by_kernel(wanted: u32) -> u32 {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    let limit = limit.ok().and_then(|text| text.trim().parse().ok());
    let room = limit.map_or(u32::MAX, instances_within);
    if room < wanted {
        tracing::warn!(
            "room for {room} policy instances at once, not {wanted}: vm.max_map_count is low; `sysctl vm.max_map_count=65530` makes room"
        );
    }
    wanted.min(room)
}

/// Instances for which the kernel's count has room, and at least a few.
fn instances_within(maps: u64) -> u32 {
    let room = maps.saturating_sub(OTHER_MAPS) / MAPS_OF_AN_INSTANCE;
    u32::try_from(room.max(100)).unwrap_or(u32::MAX)
}

/// Makes an engine's epochs pass while it lives.
pub(super) struct EpochTicker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EpochTicker {
    pub(super) fn start(engine: Engine) -> Result<Self, std::io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let tick = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH);
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new()
            .name("epochs".into())
            .spawn(tick)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread runs no code that panics; nothing is to be done about it here if it did.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use portcullis_config::Config as GatewayConfig;

    use super::*;

    #[test]
    fn the_kernels_default_has_room_for_the_default() {
        assert!(instances_within(65_530) >= GatewayConfig::DEFAULT_POLICY_INSTANCES);
        assert_eq!(instances_within(35_000), 5_000);
        assert_eq!(instances_within(0), 100);
        assert_eq!(instances_within(u64::MAX), u32::MAX);
    }

    fn compatibility(engine: &Engine) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_the_child_compiles_is_what_the_gateway_runs() {
        let serving = Engine::new(&serving_config(10)).unwrap();
        assert_eq!(
            compatibility(&compiling().unwrap()),
            compatibility(&serving)
        );
        assert_ne!(
            compatibility(&unoptimised().unwrap()),
            compatibility(&serving)
        );
    }
}
