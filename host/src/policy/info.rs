//! What is told of a policy of the config to those who look.

use portcullis_config::{Isolation, Policy as PolicyConfig};

use crate::wasm::component::PolicyComponent;

/// A policy of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its name in the config.
    pub name: String,
    /// Where its component comes from, as the config says it.
    pub component: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Its version in the policy store, if it comes from there.
    pub stored_version: Option<u64>,
    /// Of the component.
    pub size_bytes: usize,
    /// What the component calls itself.
    pub title: String,
    /// The component's own version.
    pub version: String,
    /// The component's own words.
    pub description: String,
    /// `per-request` or `pooled`.
    pub isolation: String,
    /// The hooks that it exports, in the order of a request's life.
    pub hooks: Vec<&'static str>,
    /// Capabilities that it imports.
    pub capabilities: Vec<&'static str>,
}

impl PolicyInfo {
    /// Of the policy of that name.
    pub fn of(
        name: &str,
        config: &PolicyConfig,
        component: &PolicyComponent,
        stored_version: Option<u64>,
    ) -> Self {
        let (manifest, hooks) = (component.manifest(), component.hooks.iter());
        let isolation = match config.isolation {
            Isolation::PerRequest => "per-request",
            Isolation::Pooled => "pooled",
        };
        Self {
            name: name.to_owned(),
            component: config.component.to_string(),
            digest: component.digest.clone(),
            stored_version,
            size_bytes: component.size_bytes,
            title: manifest.name.clone(),
            version: manifest.version.clone(),
            description: manifest.description.clone(),
            isolation: isolation.to_owned(),
            hooks: hooks.map(|phase| phase.name()).collect(),
            capabilities: component.capabilities(),
        }
    }
}
