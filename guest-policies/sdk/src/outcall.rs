//! HTTP calls to upstreams that the operator granted by name. The gateway has no grant for it yet.

pub use crate::bindings::capability::outcall::{Error, Fields, Request, Response, send};
