//! What a client may take: sizes, numbers and times on the clients' side of the gateway.

use std::time::Duration;

/// Bounds on what clients may send and hold. For a number or a body, 0 means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// A request's head: 8 KiB to 1 MiB, default 64 KiB. Beyond it a request is answered 431.
    pub head_bytes: usize,
    /// Fields of a request's head: 1 to 1,000, default 100. Beyond it a request is answered 431.
    pub headers: usize,
    /// Path and query: 256 B to 64 KiB, default 16 KiB. Beyond it a request is answered 414.
    pub uri_bytes: usize,
    /// A request's body, unless the route says otherwise: up to 1 TiB, default 100 MiB. Beyond it a
    /// request is answered 413.
    pub body: u64,
    /// Open connections of all clients: up to 10 million, default 20,000. Beyond it a connection is
    /// closed as soon as it is accepted.
    pub connections: usize,
    /// The same for one client: an IPv4 address, or the first 64 bits of an IPv6 address. Default 10,000.
    pub connections_per_client: usize,
    /// Requests in flight: up to 10 million, default 20,000. Beyond it a request is answered 503.
    pub requests: usize,
    /// Requests in flight on one HTTP/2 connection: 1 to 1,000, default 100. Beyond it a client has to wait.
    pub h2_streams: u32,
    /// Requests of an HTTP/2 connection that the client has given up early, less those that were
    /// answered: 1 to 100,000, default 200. Beyond it the connection is closed (CVE-2023-44487).
    pub h2_resets: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            // Envoy takes heads of 60 KiB, nginx of 32 KiB.
            head_bytes: 64 << 10,
            headers: 100,
            uri_bytes: 16 << 10,
            // Bodies are streamed, so that this is no matter of memory: it is there to stop what never ends.
            body: 100 << 20,
            connections: 20_000,
            // Half of all: nobody alone can fill the gateway, and a load balancer before it, whose
            // clients all seem to be one, does not meet the bound.
            connections_per_client: 10_000,
            requests: 20_000,
            // As many as RFC 9113 §6.5.2 asks for at least, and browsers use.
            h2_streams: 100,
            // A browser that leaves a page gives up what the page had asked for, at most the streams of a
            // connection; twice that.
            h2_resets: 200,
        }
    }
}

/// How long clients may take over a step. Each is 1 ms to 1 hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a request's head, from its first byte; for the first byte, from the connection's start.
    /// Default 30 s. A head that has begun is answered 408.
    pub head: Duration,
    /// How long a connection may stay without a request. Default 75 s.
    pub keep_alive: Duration,
    /// From one part of a request's body to the next, as long as the gateway waits for it. Default
    /// 30 s; answered 408. Not counted once the response's head is there, so that streams may rest;
    /// when the response has ended first, the rest of the body may take this long.
    pub body_idle: Duration,
    /// How long a client may take nothing of what waits for it. Default 30 s; closes the connection.
    pub write_idle: Duration,
    /// For the TLS handshake. Default 10 s; closes the connection.
    pub handshake: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            // As nginx, and longer than the 60 s of the usual load balancers: who keeps connections
            // shorter than its client now and then closes one that is just being used.
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(30),
            write_idle: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
        }
    }
}

/// What one route changes of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteLimits {
    /// In place of [`ClientLimits::body`]; 0 means no bound.
    pub body: Option<u64>,
    /// The whole exchange, both bodies included: 1 ms to 24 hours. `None`: as long as it goes on.
    pub duration: Option<Duration>,
}
