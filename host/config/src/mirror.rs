//! The validated mirrors: copies of requests for a second upstream.

use std::time::Duration;

/// Copies of a route's requests, whose answers nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// A key of [`crate::Config::upstreams`].
    pub upstream: String,
    /// Of a hundred requests, how many are copied: 1 to 100, default 100.
    pub percent: u32,
    /// From the end of the request's body to the head of the answer: 1 ms to 1 hour, default 5 s.
    pub timeout: Duration,
    /// A request with a longer body is not copied: 0 to 16 MiB, default 64 KiB.
    pub max_body: usize,
    /// Copies under way in the process, beyond which requests are not copied: 1 to 10,000, default 100.
    pub max_in_flight: usize,
}
