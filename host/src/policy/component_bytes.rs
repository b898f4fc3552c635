//! Where components come from: the binary itself, files, the policy store.

use std::path::Path;

use portcullis_config::ComponentSource;

use crate::policy_store::active::ActiveVersions;

/// A larger file is no policy; Python's with its interpreter are 18 MB.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// The policies that the binary carries, by name; the build script lists them.
const BUILTIN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The bytes behind a source, of the store in its `active` version; a message that names the source and the remedy
/// otherwise.
pub fn read(source: &ComponentSource, active: &ActiveVersions) -> Result<Vec<u8>, String> {
    match source {
        ComponentSource::Builtin(name) => Ok(builtin(name)?.to_vec()),
        ComponentSource::File(path) => file(path),
        ComponentSource::Store(name) => active.read(name),
    }
}

fn builtin(name: &str) -> Result<&'static [u8], String> {
    BUILTIN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| {
            let known: Vec<&str> = BUILTIN.iter().map(|(known, _)| *known).collect();
            format!(
                "no builtin policy {name:?}; this gateway carries: {}",
                known.join(", ")
            )
        })
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    let place = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| {
            format!("{place}: {error}; build it with `make policies`, or correct the path")
        })?
        .len();
    if size > MAX_COMPONENT_BYTES {
        return Err(format!(
            "{place}: {size} bytes; a policy has at most {MAX_COMPONENT_BYTES}"
        ));
    }
    std::fs::read(path).map_err(|error| format!("{place}: {error}"))
}
