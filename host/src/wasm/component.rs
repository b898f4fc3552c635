//! A component file that claims to be a policy: what it exports, imports and says of itself.

use sha2::{Digest as _, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wizer::Wizer;

use super::Phase;
use super::bindings::exports::portcullis::policy::lifecycle;
use super::engine::Engines;
use super::fault::one_line;
use super::linker::{self, BODY_READERS, FREE_INTERFACES, GRANTED_INTERFACES, INERT_WASI};
use super::sandbox::{LIFECYCLE_TIME, lifecycle_store};
use super::state::HostState;
use crate::capability::Capabilities;

/// What the wizer adds to a component so that its state can be read; not the policy's own.
const WIZER_EXPORT: &str = "wasmtime:wizer/access";
const LIFECYCLE: &str = "portcullis:policy/lifecycle";
/// The contract's version that this host speaks.
const CONTRACT: &str = "@0.1.";

/// What a policy says of itself.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its own name; the config may call it otherwise.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// JSON Schema of its config, if it has one.
    pub config_schema: Option<serde_json::Value>,
    /// Anything else, by name.
    pub annotations: Vec<(String, String)>,
}

impl Manifest {
    /// Capabilities that the policy imports but works without (annotation `optional-imports`).
    pub fn optional_imports(&self) -> impl Iterator<Item = &str> {
        self.annotations
            .iter()
            .filter(|(name, _)| name == "optional-imports")
            .flat_map(|(_, value)| value.split(',').map(str::trim))
    }
}

/// A component that was found to be a policy.
pub struct PolicyComponent {
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file.
    pub size_bytes: usize,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The hooks that it exports, in the order of a request's life.
    pub hooks: Vec<Phase>,
    /// Interfaces that it exports, as written.
    pub exports: Vec<String>,
    /// Interfaces that it imports, as written.
    pub imports: Vec<String>,
    /// Imports a function that waits for a body.
    pub(super) reads_bodies: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) lifecycle: Component,
    pub(super) lifecycle_linker: Linker<HostState>,
    /// Whether its state can be kept after `configure`, or each instance must be configured anew.
    pub snapshots: bool,
}

/// Why a file is no policy for this gateway.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Not WebAssembly, or broken.
    #[error("not a WebAssembly component ({}); build it again, or correct the path", one_line(.0))]
    Invalid(wasmtime::Error),
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component; build it for wasm32-unknown-unknown with wasm-component-ld, or \
         wrap it: wasm-tools component new"
    )]
    CoreModule,
    /// The acceptance rule of `wit/worlds.wit`.
    #[error("{0}")]
    NotAPolicy(String),
    /// `describe` failed.
    #[error("describe: {0}")]
    Describe(String),
}

impl PolicyComponent {
    /// Checks the file and asks it to describe itself.
    pub async fn load(engines: &Engines, bytes: Vec<u8>) -> Result<Self, ComponentError> {
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(ComponentError::CoreModule);
        }
        let (lifecycle, snapshots) = compile_for_lifecycle(&engines.lifecycle, &bytes)?;
        let (exports, imports) = interfaces(&engines.lifecycle, &lifecycle)?;
        let reads_bodies = reads_bodies(&engines.lifecycle, &lifecycle);
        let hooks = hooks(&exports)?;
        let lifecycle_linker =
            linker::build(&engines.lifecycle).map_err(ComponentError::Invalid)?;
        let manifest = describe(&engines.lifecycle, &lifecycle_linker, &lifecycle).await?;
        let digest = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let size_bytes = bytes.len();
        Ok(Self {
            digest,
            size_bytes,
            manifest,
            hooks,
            exports,
            imports,
            reads_bodies,
            bytes,
            lifecycle,
            lifecycle_linker,
            snapshots,
        })
    }

    /// Capabilities that the component imports and that need a grant, by their config names.
    pub fn capabilities(&self) -> Vec<&'static str> {
        GRANTED_INTERFACES
            .iter()
            .filter(|(interface, _)| {
                self.imports
                    .iter()
                    .any(|import| unversioned(import) == *interface)
            })
            .map(|(_, name)| *name)
            .collect()
    }
}

/// The component with the exports by which its state can be read, or, for one that the wizer can't
/// handle, as it is.
fn compile_for_lifecycle(
    engine: &Engine,
    bytes: &[u8],
) -> Result<(Component, bool), ComponentError> {
    let as_it_is = || Component::new(engine, bytes).map_err(ComponentError::Invalid);
    match Wizer::new().instrument_component(bytes) {
        Ok((_, instrumented)) => match Component::new(engine, instrumented) {
            Ok(component) => Ok((component, true)),
            Err(_) => Ok((as_it_is()?, false)),
        },
        Err(_) => Ok((as_it_is()?, false)),
    }
}

fn interfaces(
    engine: &Engine,
    component: &Component,
) -> Result<(Vec<String>, Vec<String>), ComponentError> {
    let shape = component.component_type();
    let exports = shape
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with(WIZER_EXPORT))
        .collect();
    let mut imports = Vec::new();
    for (name, _) in shape.imports(engine) {
        check_import(name)?;
        imports.push(name.to_owned());
    }
    Ok((exports, imports))
}

fn reads_bodies(engine: &Engine, component: &Component) -> bool {
    let shape = component.component_type();
    shape.imports(engine).any(|(_, import)| match import.ty {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .any(|(function, _)| BODY_READERS.contains(&function)),
        _ => false,
    })
}

/// The acceptance rule: `lifecycle` and at least one hook, of a version that the host speaks.
fn hooks(exports: &[String]) -> Result<Vec<Phase>, ComponentError> {
    let exported = |interface: &str| {
        exports
            .iter()
            .any(|name| unversioned(name) == interface && name.contains(CONTRACT))
    };
    if !exported(LIFECYCLE) {
        return Err(ComponentError::NotAPolicy(format!(
            "does not export {LIFECYCLE}{CONTRACT}x, so it is no policy (it exports: {})",
            list(exports)
        )));
    }
    let hooks: Vec<Phase> = Phase::ALL
        .into_iter()
        .filter(|phase| exported(&format!("portcullis:policy/{}", phase.name())))
        .collect();
    if hooks.is_empty() {
        return Err(ComponentError::NotAPolicy(format!(
            "exports no hook that this version calls ({}); it exports: {}",
            Phase::ALL.map(Phase::name).join(", "),
            list(exports)
        )));
    }
    Ok(hooks)
}

fn check_import(name: &str) -> Result<(), ComponentError> {
    let interface = unversioned(name);
    let known = FREE_INTERFACES.contains(&interface)
        || GRANTED_INTERFACES
            .iter()
            .any(|(granted, _)| *granted == interface)
        || INERT_WASI
            .iter()
            .any(|prefix| interface.starts_with(prefix));
    if known {
        return Ok(());
    }
    let remedy = if interface.starts_with("wasi:") {
        "policies have no sockets, files or outgoing HTTP; build without WASI or with its stubs"
    } else {
        "this version of the gateway does not offer it"
    };
    Err(ComponentError::NotAPolicy(format!(
        "imports {name}: {remedy}"
    )))
}

async fn describe(
    engine: &Engine,
    linker: &Linker<HostState>,
    component: &Component,
) -> Result<Manifest, ComponentError> {
    let refused = |error: wasmtime::Error| ComponentError::Describe(one_line(&error));
    let pre = linker.instantiate_pre(component).map_err(refused)?;
    let indices = lifecycle::GuestIndices::new(&pre).map_err(refused)?;
    let mut store: Store<HostState> = lifecycle_store(engine, Capabilities::none());
    let call = async {
        let instance = pre.instantiate_async(&mut store).await?;
        let guest = indices.load(&mut store, &instance)?;
        guest.call_describe(&mut store).await
    };
    let manifest = match tokio::time::timeout(LIFECYCLE_TIME, call).await {
        Ok(manifest) => manifest.map_err(refused)?,
        Err(_) => {
            return Err(ComponentError::Describe(format!(
                "not done within {LIFECYCLE_TIME:?}"
            )));
        }
    };
    let config_schema = match manifest
        .config_schema
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
    {
        Ok(schema) => schema,
        Err(error) => {
            return Err(ComponentError::Describe(format!(
                "config-schema is not JSON: {error}"
            )));
        }
    };
    Ok(Manifest {
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        config_schema,
        annotations: manifest.annotations,
    })
}

fn unversioned(interface: &str) -> &str {
    interface.split('@').next().unwrap_or(interface)
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_offered_is_refused_by_name() {
        let name = "portcullis:capability/later@0.1.0";
        let refusal = check_import(name).unwrap_err().to_string();
        let words = format!("imports {name}: this version of the gateway does not offer it");
        assert!(refusal.contains(&words), "{refusal}");
        for offered in [
            "policy/http",
            "policy/body",
            "capability/kv",
            "capability/outcall",
        ] {
            assert!(check_import(&format!("portcullis:{offered}@0.1.0")).is_ok());
        }
    }
}
