//! When the config is read again, and what comes of it: on SIGHUP, and when a file has changed.
//!
//! A file that is being written, or is no valid config, changes nothing; the same content makes no
//! revision.

pub mod file_watch;
pub mod reloader;
pub(crate) mod settling;
pub(crate) mod sight;
pub(crate) mod watcher;
