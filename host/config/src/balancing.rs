//! The validated choices of an endpoint: which one a request goes to, and with which share.

use http::HeaderName;

use crate::upstream::Endpoint;

/// One entry of an upstream's `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedEndpoint {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its share of the requests beside the others' weights: 1 to 100, default 1.
    pub weight: u32,
}

/// How an upstream's endpoints are chosen from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LoadBalancing {
    /// By turns, each as often as its weight says. The default.
    #[default]
    RoundRobin,
    /// Of two endpoints drawn at random by weight, the one with fewer requests in flight for its weight.
    LeastRequest,
    /// The same endpoint for the same key, as long as it is available; by turns without a key.
    Hash(HashKey),
}

/// What requests that belong together have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The value of this field.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(String),
    /// The client's IP address.
    ClientAddress,
}
