//! What a component is and says of itself, and whether that makes it a policy.
//!
//! The rule of acceptance is applied anew to descriptions that were kept, since another version of the
//! gateway may have another rule.

use serde::{Deserialize, Serialize};

use super::Phase;
use super::linker::{BODY_READERS, FREE_INTERFACES, GRANTED_INTERFACES, INERT_WASI};

const LIFECYCLE: &str = "portcullis:policy/lifecycle";
/// The contract's version that this host speaks.
const CONTRACT: &str = "@0.1.";

/// What a policy says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// What was found of a component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// What it says of itself.
    pub manifest: Manifest,
    /// What it exports and imports.
    pub interfaces: Interfaces,
    /// Whether its state can be kept after `configure`, or each instance must be configured anew.
    pub snapshots: bool,
}

/// The names at a component's border.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interfaces {
    /// Interfaces that it exports, as written.
    pub exports: Vec<String>,
    /// Interfaces that it imports, as written, each with its functions.
    pub imports: Vec<(String, Vec<String>)>,
}

impl Interfaces {
    /// The acceptance rule of `wit/worlds.wit`: nothing imported that is not offered, `lifecycle` and at least
    /// one hook exported, of a version that the host speaks. The hooks, in the order of a request's life, or what
    /// is wrong.
    pub fn hooks(&self) -> Result<Vec<Phase>, String> {
        for (name, _) in &self.imports {
            check_import(name)?;
        }
        if !self.exports(LIFECYCLE) {
            return Err(format!(
                "does not export {LIFECYCLE}{CONTRACT}x, so it is no policy (it exports: {})",
                list(&self.exports)
            ));
        }
        let exported = |phase: &Phase| self.exports(&format!("portcullis:policy/{}", phase.name()));
        let hooks: Vec<Phase> = Phase::ALL.into_iter().filter(exported).collect();
        if hooks.is_empty() {
            return Err(format!(
                "exports no hook that this version calls ({}); it exports: {}",
                Phase::ALL.map(Phase::name).join(", "),
                list(&self.exports)
            ));
        }
        Ok(hooks)
    }

    /// Whether it imports a function that waits for a body.
    pub fn reads_bodies(&self) -> bool {
        let functions = self.imports.iter().flat_map(|(_, functions)| functions);
        functions
            .into_iter()
            .any(|function| BODY_READERS.contains(&function.as_str()))
    }

    /// Capabilities that it imports and that need a grant, by their config names.
    pub fn capabilities(&self) -> Vec<&'static str> {
        let imported = |interface: &str| {
            let mut imports = self.imports.iter();
            imports.any(|(import, _)| unversioned(import) == interface)
        };
        GRANTED_INTERFACES
            .iter()
            .filter(|(interface, _)| imported(interface))
            .map(|(_, name)| *name)
            .collect()
    }

    fn exports(&self, interface: &str) -> bool {
        self.exports
            .iter()
            .any(|name| unversioned(name) == interface && name.contains(CONTRACT))
    }
}

fn check_import(name: &str) -> Result<(), String> {
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
    Err(format!("imports {name}: {remedy}"))
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
        let refusal = check_import(name).unwrap_err();
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
