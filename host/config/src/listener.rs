//! The validated listeners.

use std::net::SocketAddr;

/// A socket that accepts requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique among the listeners; labels its metrics and logs.
    pub name: String,
    /// Port 0: one that the system picks.
    pub address: SocketAddr,
}
