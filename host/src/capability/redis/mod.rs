//! `redis`: the one binding that the operator gave a policy, under the granted key prefix.
//!
//! `host` makes a [`Call`] of what a policy asks, `grant` knows its keys and scripts, `binding` has it
//! answered in time, over a connection that `connection` keeps for each worker.

mod binding;
mod call;
mod connection;
mod grant;
mod host;

pub use self::binding::{BindingError, RedisBinding};
pub use self::call::{Call, Script};
pub use self::grant::RedisGrant;
