//! The gateway's log: lines on standard error, filtered by `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Without `RUST_LOG`: what an operator wants to know, and no library's chatter.
const DEFAULT_FILTER: &str = "warn,portcullis=info,policy=info";

/// Starts the log of the process; a second call changes nothing.
pub fn start() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Tests start several gateways in one process.
    let _ = lines.try_init();
}
