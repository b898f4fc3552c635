//! What of a request its route is found by.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

/// The parts of a request's head that a route may ask for.
#[derive(Debug, Clone, Copy)]
pub struct RouteKey<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query, normalised.
    pub target: &'a PathAndQuery,
    /// End-to-end fields, `host` among them.
    pub headers: &'a HeaderMap,
}
