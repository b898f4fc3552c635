//! A policy's lifecycle calls, in the compile child: it is described once and configured for each use.
//!
//! Its code for these calls comes from Winch, which compiles far more quickly than the optimising compiler:
//! here each function runs once or not at all.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};
use wasmtime_wizer::{ComponentContext, WasmtimeWizerComponent, Wizer};

use crate::capability::Capabilities;
use crate::wasm::bindings::exports::portcullis::policy::lifecycle;
use crate::wasm::description::{Description, Interfaces, Manifest};
use crate::wasm::engine;
use crate::wasm::fault::{Fault, one_line};
use crate::wasm::linker;
use crate::wasm::sandbox::{LIFECYCLE_TIME, lifecycle_store};
use crate::wasm::state::HostState;

/// What the wizer adds to a component so that its state can be read; not the policy's own.
const WIZER_EXPORT: &str = "wasmtime:wizer/access";

/// A component whose lifecycle can be called.
pub(super) struct Lifecycle<'a> {
    pre: InstancePre<HostState>,
    indices: lifecycle::GuestIndices,
    /// How its state is read; `None` where that can't be.
    context: Option<ComponentContext<'a>>,
}

/// What became of `configure`.
pub(super) enum Configured {
    /// The component with the state that it left.
    Snapshot(Vec<u8>),
    /// The config is right, but the state can't be kept.
    Accepted,
    /// The config is wrong: JSON Pointer and message of each problem.
    Config(Vec<(String, String)>),
    /// It did not end well.
    Failed(String),
}

impl<'a> Lifecycle<'a> {
    /// Compiles the component, if it is a policy's; in words that follow its name otherwise.
    pub(super) fn compile(bytes: &'a [u8]) -> Result<(Self, Interfaces), String> {
        let invalid = |error| {
            format!(
                "not a WebAssembly component ({}); build it again, or correct the path",
                one_line(&error)
            )
        };
        let (engine, component, context) = compile(bytes).map_err(invalid)?;
        let interfaces = interfaces(&engine, &component);
        interfaces.hooks()?;
        let refused = |error| one_line(&error);
        let linker = linker::build(&engine).map_err(refused)?;
        let pre = linker.instantiate_pre(&component).map_err(refused)?;
        let indices = lifecycle::GuestIndices::new(&pre).map_err(refused)?;
        let lifecycle = Self {
            pre,
            indices,
            context,
        };
        Ok((lifecycle, interfaces))
    }

    /// Where its calls run: its epochs have to pass.
    pub(super) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// Asks the policy what it is.
    pub(super) async fn describe(&self, interfaces: Interfaces) -> Result<Description, String> {
        let mut store = self.store();
        let call = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            let guest = self.indices.load(&mut store, &instance)?;
            guest.call_describe(&mut store).await
        };
        let manifest = match tokio::time::timeout(LIFECYCLE_TIME, call).await {
            Ok(manifest) => manifest.map_err(|error| format!("describe: {}", one_line(&error)))?,
            Err(_) => return Err(format!("describe: not done within {LIFECYCLE_TIME:?}")),
        };
        let schema = manifest.config_schema.as_deref().map(serde_json::from_str);
        let config_schema = schema
            .transpose()
            .map_err(|error| format!("describe: config-schema is not JSON: {error}"))?;
        Ok(Description {
            manifest: Manifest {
                name: manifest.name,
                version: manifest.version,
                description: manifest.description,
                config_schema,
                annotations: manifest.annotations,
            },
            interfaces,
            snapshots: self.context.is_some(),
        })
    }

    /// Runs `configure` once, and keeps the state that it left where that can be done.
    pub(super) async fn configure(&self, config: &str) -> Configured {
        let mut store = self.store();
        let call = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            let guest = self.indices.load(&mut store, &instance)?;
            let answer = guest.call_configure(&mut store, config).await?;
            Ok::<_, wasmtime::Error>((instance, answer))
        };
        let (instance, answer) = match tokio::time::timeout(LIFECYCLE_TIME, call).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Configured::Failed(format!("trap: {}", one_line(&error))),
            Err(_) => return Configured::Failed(Fault::Deadline(LIFECYCLE_TIME).to_string()),
        };
        if let Err(problems) = answer {
            let problems = problems.into_iter();
            return Configured::Config(problems.map(|one| (one.path, one.message)).collect());
        }
        let Some(context) = &self.context else {
            return Configured::Accepted;
        };
        let mut configured = WasmtimeWizerComponent {
            store: &mut store,
            instance,
        };
        let wizer = Wizer::new();
        match wizer.snapshot_component(context, &mut configured).await {
            Ok(snapshot) => Configured::Snapshot(snapshot),
            Err(error) => {
                Configured::Failed(format!("its state can't be kept: {}", one_line(&error)))
            }
        }
    }

    fn store(&self) -> Store<HostState> {
        lifecycle_store(self.pre.engine(), Capabilities::none())
    }
}

/// The component with the exports by which its state can be read, or, for one that the wizer can't
/// handle, as it is.
fn compile(bytes: &[u8]) -> wasmtime::Result<(Engine, Component, Option<ComponentContext<'_>>)> {
    if let Ok((context, instrumented)) = Wizer::new().instrument_component(bytes)
        && let Ok((engine, component)) = compile_quickly(&instrumented)
    {
        return Ok((engine, component, Some(context)));
    }
    let (engine, component) = compile_quickly(bytes)?;
    Ok((engine, component, None))
}

/// By Winch, or by Cranelift what Winch can't compile, and on machines that it does not know.
fn compile_quickly(bytes: &[u8]) -> wasmtime::Result<(Engine, Component)> {
    let with = |engine: Engine| Ok((engine.clone(), Component::new(&engine, bytes)?));
    match engine::winch().and_then(with) {
        Ok(compiled) => Ok(compiled),
        Err(_) => engine::unoptimised().and_then(with),
    }
}

fn interfaces(engine: &Engine, component: &Component) -> Interfaces {
    let shape = component.component_type();
    let functions = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .map(|(function, _)| function.to_owned())
            .collect(),
        _ => Vec::new(),
    };
    Interfaces {
        exports: shape
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .filter(|name| !name.starts_with(WIZER_EXPORT))
            .collect(),
        imports: shape
            .imports(engine)
            .map(|(name, import)| (name.to_owned(), functions(&import.ty)))
            .collect(),
    }
}
