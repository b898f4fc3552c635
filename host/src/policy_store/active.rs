//! Which component serves for each policy of the store, as the loader of policies wants to know it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// The active versions at one moment.
#[derive(Debug, Clone, Default)]
pub struct ActiveVersions {
    /// Where the store is; empty if there is none.
    pub directory: PathBuf,
    /// By the policy's name in the store.
    pub versions: BTreeMap<String, ActiveVersion>,
}

/// A stored version that serves, or is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveVersion {
    /// Its number.
    pub number: u64,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The component.
    pub path: PathBuf,
}

impl ActiveVersions {
    /// The active version of that name, or what to do to have one.
    pub fn get(&self, policy: &str) -> Result<&ActiveVersion, String> {
        self.versions.get(policy).ok_or_else(|| {
            if self.directory.as_os_str().is_empty() {
                return "the gateway was started without a policy_store; restart it".to_owned();
            }
            format!(
                "no version of {policy:?} is active in {}; push one to the running gateway before the config names it \
                 (`portcullis policy push {policy} FILE`), or put {policy}.wasm into policy_store.watch",
                self.directory.display()
            )
        })
    }

    /// The active component of that name, or why it can't be had.
    pub fn read(&self, policy: &str) -> Result<Vec<u8>, String> {
        let version = self.get(policy)?;
        let refused = |why: String| {
            format!(
                "version {} of {policy:?} ({}): {why}; activate another version, or push it again",
                version.number,
                version.path.display()
            )
        };
        let bytes = std::fs::read(&version.path).map_err(|error| refused(error.to_string()))?;
        if HEXLOWER.encode(&Sha256::digest(&bytes)) != version.digest {
            return Err(refused(
                "its bytes are not those that were pushed".to_owned(),
            ));
        }
        Ok(bytes)
    }

    /// The same with another version in the place of that policy's.
    pub fn with(&self, policy: &str, version: ActiveVersion) -> Self {
        let mut other = self.clone();
        other.versions.insert(policy.to_owned(), version);
        other
    }
}
