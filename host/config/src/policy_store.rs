//! The store of policies' versions.

use std::path::PathBuf;

/// Where versions of policies are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStore {
    /// The directory of the store; a relative path has been joined to the config's directory.
    pub directory: PathBuf,
    /// A directory whose files `NAME.wasm` become versions when they change; a relative path has been
    /// joined to the config's directory. `None`: there is no such directory.
    pub watch: Option<PathBuf>,
    /// Versions of one policy that are kept: 2 to 1,000, default 20. The oldest go; the active one and the
    /// one before it never do.
    pub keep: usize,
}

impl PolicyStore {
    /// Of [`PolicyStore::keep`].
    pub const DEFAULT_KEEP: u16 = 20;
}
