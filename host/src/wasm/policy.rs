//! A policy that is ready to serve one use of it: checked, configured, compiled.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{Isolation, schema_problems};
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wizer::{WasmtimeWizerComponent, Wizer};

use super::Phase;
use super::bindings::exports::portcullis::policy::{
    lifecycle, on_attempt, on_log, on_request, on_request_body, on_response, on_response_body,
};
use super::component::PolicyComponent;
use super::engine::Engines;
use super::fault::{Fault, one_line};
use super::limiter::Bounds;
use super::linker;
use super::sandbox::{LIFECYCLE_TIME, lifecycle_store};
use super::state::HostState;
use crate::capability::Capabilities;

/// Unit of WebAssembly's memories.
const WASM_PAGE_BYTES: usize = 64 << 10;

/// One use of a policy: its component with this use's config, ready to be instantiated.
pub struct Policy {
    pub(super) pre: InstancePre<HostState>,
    pub(super) hooks: HookIndices,
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
    pub(super) config: Option<ConfigureEach>,
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

/// Why a use of a policy can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The config is wrong: JSON Pointer and message of each problem.
    #[error("{} problem(s) in the policy's config", .0.len())]
    Config(Vec<(String, String)>),
    /// `configure` did not end well.
    #[error("configure: {0}")]
    Configure(String),
    /// Each request would fail: no instance fits into its limit.
    #[error("needs {needed} bytes of memory from the start, limits.memory is {limit}; raise it")]
    Memory {
        /// The memory of an instance that was configured and not yet called.
        needed: usize,
        /// `limits.memory`.
        limit: usize,
    },
    /// The operator grants it no bodies, and it wants to see them.
    #[error(
        "exports {}, and limits.body is 0, which grants it no body; raise it",
        .0.name()
    )]
    NoBody(Phase),
    /// The same of its tables.
    #[error(
        "needs a table of {needed} elements from the start, limits.table_elements is {limit}; raise it"
    )]
    TableElements {
        /// Elements of the largest table of a new instance.
        needed: u64,
        /// `limits.table_elements`.
        limit: usize,
    },
    /// The host could not compile or link it.
    #[error("{}", one_line(.0))]
    Compile(#[from] wasmtime::Error),
}

impl Policy {
    /// Checks `config` against the policy's schema and by its own `configure`, and keeps the
    /// configured state, so that no instance parses the config again.
    pub async fn prepare(
        engines: &Engines,
        component: &PolicyComponent,
        config: &serde_json::Value,
        capabilities: Arc<Capabilities>,
        running: Running,
    ) -> Result<Self, PrepareError> {
        check_schema(component.manifest.config_schema.as_ref(), config)?;
        check_bodies(&component.hooks, running.bounds.body_bytes)?;
        let config = config.to_string();
        let snapshot = configure(engines, component, &config).await?;
        let compiled = Component::new(
            &engines.serving,
            snapshot.as_deref().unwrap_or(&component.bytes),
        )?;
        check_size(&compiled, &running.bounds)?;
        // The pages of the image are copied on write; made here, so that no request waits for it.
        compiled.initialize_copy_on_write_image()?;
        let pre = linker::build(&engines.serving)?.instantiate_pre(&compiled)?;
        let config = match snapshot {
            Some(_) => None,
            None => Some(ConfigureEach {
                indices: lifecycle::GuestIndices::new(&pre)?,
                config,
            }),
        };
        Ok(Self {
            hooks: HookIndices::find(&pre, &component.hooks)?,
            pre,
            capabilities,
            isolation: running.isolation,
            time: running.time,
            bounds: running.bounds,
            reads_bodies: component.reads_bodies,
            config,
        })
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

fn check_schema(
    schema: Option<&serde_json::Value>,
    config: &serde_json::Value,
) -> Result<(), PrepareError> {
    let Some(schema) = schema else { return Ok(()) };
    let problems = schema_problems(schema, config).map_err(|error| {
        PrepareError::Configure(format!(
            "the policy's config-schema is no JSON Schema: {error}"
        ))
    })?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(PrepareError::Config(problems))
    }
}

fn check_bodies(hooks: &[Phase], body_bytes: usize) -> Result<(), PrepareError> {
    let streams = |phase: &&Phase| matches!(phase, Phase::OnRequestBody | Phase::OnResponseBody);
    match hooks.iter().find(streams) {
        Some(phase) if body_bytes == 0 => Err(PrepareError::NoBody(*phase)),
        _ => Ok(()),
    }
}

/// Whether an instance fits into its limits when it is made.
fn check_size(component: &Component, bounds: &Bounds) -> Result<(), PrepareError> {
    let Some(required) = component.resources_required() else {
        return Ok(());
    };
    let (needed, limit) = (
        required.max_initial_table_size.unwrap_or(0),
        bounds.table_elements,
    );
    if needed > limit as u64 {
        return Err(PrepareError::TableElements { needed, limit });
    }
    let (pages, limit) = (
        required.max_initial_memory_size.unwrap_or(0),
        bounds.memory_bytes,
    );
    let needed = usize::try_from(pages)
        .unwrap_or(usize::MAX)
        .saturating_mul(WASM_PAGE_BYTES);
    if needed <= limit {
        Ok(())
    } else {
        Err(PrepareError::Memory { needed, limit })
    }
}

/// Runs `configure` once; the component with the state that it left, or `None` where that can't be had.
async fn configure(
    engines: &Engines,
    component: &PolicyComponent,
    config: &str,
) -> Result<Option<Vec<u8>>, PrepareError> {
    let pre = component
        .lifecycle_linker
        .instantiate_pre(&component.lifecycle)?;
    let indices = lifecycle::GuestIndices::new(&pre)?;
    let mut store: Store<HostState> = lifecycle_store(&engines.lifecycle, Capabilities::none());
    let call = async {
        let instance = pre.instantiate_async(&mut store).await?;
        let guest = indices.load(&mut store, &instance)?;
        let answer = guest.call_configure(&mut store, config).await?;
        Ok::<_, wasmtime::Error>((instance, answer))
    };
    let (instance, answer) = match tokio::time::timeout(LIFECYCLE_TIME, call).await {
        Ok(ended) => {
            ended.map_err(|error| PrepareError::Configure(format!("trap: {}", one_line(&error))))?
        }
        Err(_) => {
            return Err(PrepareError::Configure(
                Fault::Deadline(LIFECYCLE_TIME).to_string(),
            ));
        }
    };
    if let Err(problems) = answer {
        return Err(PrepareError::Config(
            problems
                .into_iter()
                .map(|problem| (problem.path, problem.message))
                .collect(),
        ));
    }
    if !component.snapshots {
        return Ok(None);
    }
    let wizer = Wizer::new();
    let (context, _) = wizer.instrument_component(&component.bytes)?;
    let mut configured = WasmtimeWizerComponent {
        store: &mut store,
        instance,
    };
    Ok(Some(
        wizer.snapshot_component(&context, &mut configured).await?,
    ))
}
