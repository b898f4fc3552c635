//! Secrets that the operator granted by name. Needs the grant `secrets`.
//!
//! `None` is the answer for a name that is not granted, and for all names during `configure`.

pub use crate::bindings::capability::secrets::get;
