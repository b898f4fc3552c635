//! Secrets that the operator granted by name. The gateway has no grant for it yet.

pub use crate::bindings::capability::secrets::get;
