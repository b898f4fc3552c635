//! The control API's listener.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the control API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Differs from those of the listeners and of the metrics.
    pub address: SocketAddr,
    /// The file with the tokens; a relative path has been joined to the config's directory.
    pub token_file: PathBuf,
    /// Names that a client's `Host` may have, in lower case, besides addresses and `localhost`. Default none.
    pub hosts: BTreeSet<String>,
    /// The config's directory, from which relative names start.
    pub base: PathBuf,
}

impl Control {
    /// Of [`Control::token_file`].
    pub const DEFAULT_TOKEN_FILE: &'static str = "control.token";
}
