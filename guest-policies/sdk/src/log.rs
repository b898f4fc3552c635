//! The gateway's log. The host adds policy, route and request.

use crate::bindings::capability::log as host;

pub use host::Level;

/// Whether a message of this level would be kept: ask before building a costly one.
pub fn enabled(level: Level) -> bool {
    host::enabled(level)
}

/// Logs `message` with `fields`, if the level is kept.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    if host::enabled(level) {
        host::log(level, message, fields);
    }
}

/// Logs at level trace.
pub fn trace(message: &str, fields: &[(&str, &str)]) {
    log(Level::Trace, message, fields);
}

/// Logs at level debug.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    log(Level::Debug, message, fields);
}

/// Logs at level info.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    log(Level::Info, message, fields);
}

/// Logs at level warn.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    log(Level::Warn, message, fields);
}

/// Logs at level error.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    log(Level::Error, message, fields);
}
