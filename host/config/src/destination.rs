//! The validated destinations: where the requests of a route go.

use crate::balancing::HashKey;

/// Where the requests of a route go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A key of [`crate::Config::upstreams`].
    Upstream(String),
    /// Several upstreams, by weight.
    Split(Split),
}

/// Several upstreams that share the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// In the order of the file; at least one has a weight above 0.
    pub shares: Vec<Share>,
    /// What keeps a client at its upstream. `None`, or a request that lacks it: each request is a new choice.
    pub sticky: Option<HashKey>,
}

/// What one upstream gets of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// A key of [`crate::Config::upstreams`], once in a split.
    pub upstream: String,
    /// Its part of the sum of all weights: 0 to 1,000,000.
    pub weight: u32,
}
