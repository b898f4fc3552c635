//! Whose requests a policy counts together, and whose it does not count: the `key`, `allow` and `deny` of the
//! configs of `rate-limit` and `concurrency-limit`. A library: no component.

mod address;
mod config;
mod facts;
mod lists;
mod selector;

pub use config::{FactName, Key, ListEntry, SelectorConfig};
pub use facts::Facts;
pub use lists::{Listed, Lists};
pub use selector::{Selector, Source, append};

/// The exchange's attribute that holds the caller's address.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The exchange's attribute that holds the route's name.
pub const ROUTE: &str = "route";
/// The shared value in which a policy that authenticates tells who the caller is.
pub const IDENTITY: &str = "identity";
