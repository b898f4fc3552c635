//! Numbers for the gateway's metrics. The host adds policy and route. Needs the grant `metrics`.

pub use crate::bindings::capability::metrics::{count, gauge, observe};
