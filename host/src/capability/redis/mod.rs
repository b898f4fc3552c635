//! `redis`: the one binding that the operator gave a policy, under the granted key prefix.
//!
//! `host` makes a [`Call`] of what a policy asks, `grant` knows its keys and scripts, and `binding` has it
//! answered. Behind that, `servers` asks over the worker's `line`, whose connections (`link`) `connector` makes,
//! and `circuit` says when not to ask. `bindings` keeps all that over reloads.

mod binding;
mod bindings;
mod call;
mod circuit;
mod connector;
mod failure;
mod grant;
mod host;
mod line;
mod link;
mod servers;
mod tls_files;

pub use self::binding::RedisBinding;
pub use self::bindings::{BindingReading, RedisBindings};
pub use self::call::{Call, Script};
pub use self::circuit::CircuitState;
pub use self::connector::BindingProblem;
pub use self::grant::RedisGrant;
