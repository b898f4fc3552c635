//! `portcullis policy inspect`.

use std::sync::Arc;

use portcullis_config::ComponentSource;

use super::OWN_PROGRAM;
use crate::policy::loader::PolicyLoader;
use crate::policy_store::active::ActiveVersions;
use crate::wasm::compile::compiler::CompilerSettings;
use crate::wasm::component::PolicyComponent;
use crate::wasm::engine::Engines;

/// Prints what the component is.
pub(super) async fn inspect(component: &str) -> Result<(), String> {
    let source = match component.strip_prefix("builtin:") {
        Some(name) => ComponentSource::Builtin(name.to_owned()),
        None => ComponentSource::File(component.strip_prefix("file:").unwrap_or(component).into()),
    };
    let engines = Engines::start(CompilerSettings::new(OWN_PROGRAM, None), 10)
        .map_err(|error| format!("portcullis: {error}"))?;
    let policy = PolicyLoader::new(Arc::new(engines))
        .load(&source, &ActiveVersions::default())
        .await?;
    print(&policy);
    Ok(())
}

fn print(policy: &PolicyComponent) {
    let manifest = policy.manifest();
    println!("policy       {} {}", manifest.name, manifest.version);
    println!("             {}", manifest.description);
    println!("digest       sha256:{}", policy.digest);
    println!("size         {} bytes", policy.size_bytes);
    let hooks: Vec<&str> = policy.hooks.iter().map(|phase| phase.name()).collect();
    println!("hooks        {}", hooks.join(", "));
    print_list("exports", policy.description.interfaces.exports.iter());
    print_list("imports", policy.imports());
    let optional: Vec<&str> = manifest.optional_imports().collect();
    let needs: Vec<&str> = policy
        .capabilities()
        .into_iter()
        .filter(|name| !optional.contains(name))
        .collect();
    println!(
        "needs grants {}",
        if needs.is_empty() {
            "none".to_owned()
        } else {
            needs.join(", ")
        }
    );
    println!(
        "may use      {}",
        if optional.is_empty() {
            "nothing else".to_owned()
        } else {
            optional.join(", ")
        }
    );
    let keeping = if policy.description.snapshots {
        "once, then kept in a snapshot"
    } else {
        "by every new instance"
    };
    println!("configured   {keeping}");
    for (name, value) in &manifest.annotations {
        println!("annotation   {name} = {value}");
    }
    if let Some(schema) = &manifest.config_schema {
        println!("config schema\n{schema:#}");
    }
}

fn print_list<'a>(what: &str, names: impl Iterator<Item = &'a String>) {
    for (index, name) in names.enumerate() {
        println!("{:<12} {name}", if index == 0 { what } else { "" });
    }
}
