//! The host's clocks, in microseconds. During `describe` and `configure` both answer 0.

pub use crate::bindings::capability::clock::{monotonic_us, unix_us};
