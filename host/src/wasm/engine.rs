//! The wasmtime engines and their settings; the thread that makes epochs pass.
//!
//! Two engines: one serves requests, the other runs `describe` and `configure` once at load. Every
//! setting below was measured; `make bench` shows what they come to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig,
};

/// How long a guest may compute before it lets its worker's other requests go on. Also how late
/// the end of a hook's time is noticed in a guest that never calls the host.
const EPOCH: Duration = Duration::from_millis(2);

/// Instances that may be live at once in the process. Each takes up to 4 of the kernel's
/// `vm.max_map_count` (65 530 by default) and its fiber's stack 2: 4 000 stay far below.
const LIVE_INSTANCES: u32 = 4_000;

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

/// The engines of a process.
pub struct Engines {
    /// Serves requests: pooled memory, optimised code.
    pub serving: Engine,
    /// Loads policies: describes, configures and snapshots them.
    pub lifecycle: Engine,
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
    /// Starts the engines. `cache` is the directory for compiled code; it must belong to the user
    /// of this process alone, since code from it is run without another check.
    pub fn start(cache: Option<&Path>) -> Result<Self, EngineError> {
        let cache = match cache {
            Some(directory) => Some(Cache::new(
                CacheConfig::new().with_directory(directory).clone(),
            )?),
            None => None,
        };
        let serving = Engine::new(&serving_config(cache.clone()))?;
        let lifecycle = Engine::new(&lifecycle_config(cache))?;
        let epochs = EpochTicker::start(vec![serving.clone(), lifecycle.clone()])?;
        Ok(Self {
            serving,
            lifecycle,
            _epochs: epochs,
        })
    }

    /// Instances of policies in memory, idle ones included.
    pub fn live_instances(&self) -> u64 {
        let pool = self.serving.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }
}

fn common_config(cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .cache(cache)
        .epoch_interruption(true)
        // Component-model async is not part of the contract, and costs 3.5–5 µs for each fresh instance.
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(2 * WASM_STACK);
    config
}

fn serving_config(cache: Option<Cache>) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(LIVE_INSTANCES)
        .total_stacks(LIVE_INSTANCES)
        .total_memories(LIVE_INSTANCES)
        .total_core_instances(LIVE_INSTANCES * CORE_INSTANCES_PER_COMPONENT)
        .total_tables(LIVE_INSTANCES * TABLES_PER_COMPONENT)
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = common_config(cache);
    config
        .cranelift_opt_level(OptLevel::Speed)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn lifecycle_config(cache: Option<Cache>) -> Config {
    let mut config = common_config(cache);
    // Runs once a policy use: time to compile counts, time to run does not.
    config.cranelift_opt_level(OptLevel::None);
    config
}

/// Makes the engines' epochs pass while it lives.
struct EpochTicker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EpochTicker {
    fn start(engines: Vec<Engine>) -> Result<Self, std::io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let tick = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH);
                for engine in &engines {
                    engine.increment_epoch();
                }
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
