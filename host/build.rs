//! Says what to do when the policies that the binary carries are not built yet. Builds nothing.

use std::path::Path;

fn main() {
    // Not `env!`: where work trees share a target directory, this may have been compiled in another one.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let policies = Path::new(&manifest).join("../target/policies");
    for name in ["rate-limit", "retry"] {
        let path = policies.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.exists() {
            println!("cargo::error=target/policies/{name}.wasm is missing: run `make policies`");
        }
    }
    println!("cargo::rerun-if-changed=../wit");
}
