//! Lists the policies that the binary carries, and says what to do when they are not built yet. Builds nothing.
//!
//! They are the component crates at the top of guest-policies/; `include!` takes the list from `builtin.rs` in `OUT_DIR`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    // Not `env!`: where work trees share a target directory, this may have been compiled in another one.
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let policies = manifest.join("../target/policies");
    let mut list = String::from("&[\n");
    for name in policy_crates(&manifest.join("../guest-policies")) {
        let path = policies.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.exists() {
            println!("cargo::error=target/policies/{name}.wasm is missing: run `make policies`");
        }
        // Of the checkout that is compiled, for the same reason.
        let file =
            format!(r#"concat!(env!("CARGO_MANIFEST_DIR"), "/../target/policies/{name}.wasm")"#);
        writeln!(list, "({name:?}, include_bytes!({file})),").expect("a string takes it");
    }
    list.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("builtin.rs"), list).expect("OUT_DIR can be written");
    println!("cargo::rerun-if-changed=../wit");
}

/// The folders that hold a crate of a component, in the order of their names, which are the policies' too.
fn policy_crates(workspace: &Path) -> Vec<String> {
    // A new crate is a new member there; the folder itself holds the guests' target directory.
    println!(
        "cargo::rerun-if-changed={}",
        workspace.join("Cargo.toml").display()
    );
    let folders = fs::read_dir(workspace).expect("guest-policies/ is beside host/");
    let mut names: Vec<String> = folders
        .filter_map(|folder| {
            let path = folder.ok()?.path();
            let crate_manifest = fs::read_to_string(path.join("Cargo.toml")).ok()?;
            let is_component = crate_manifest.contains("\"cdylib\"");
            is_component.then(|| path.file_name()?.to_str().map(str::to_owned))?
        })
        .collect();
    names.sort();
    names
}
