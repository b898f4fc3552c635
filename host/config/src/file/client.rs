//! The file format of what clients may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::client::{ClientLimits, ClientTimeouts};
use crate::part::Part;
use crate::units::{DurationText, SizeText};

/// What clients may send and hold. 0 for a body, connections or requests means no bound.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "ClientLimits")]
pub(crate) struct ClientLimitsFile {
    /// A request's head, 8KiB to 1MiB: else 431.
    pub(crate) head_bytes: Part<SizeText>,
    /// Fields of a request's head: else 431.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) headers: Part<usize>,
    /// Path and query of a request, 256B to 64KiB: else 414.
    pub(crate) uri_bytes: Part<SizeText>,
    /// A request's body, up to 1024GiB, unless the route says otherwise: else 413.
    pub(crate) body: Part<SizeText>,
    /// Open connections in all: others are closed at once.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) connections: Part<usize>,
    /// Open connections of one IPv4 address, or of one IPv6 network of 64 bits.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) connections_per_client: Part<usize>,
    /// Requests in flight in all: others are answered 503.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) requests: Part<usize>,
    /// Requests in flight on one HTTP/2 connection: others wait.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) h2_streams: Part<u32>,
    /// Requests of an HTTP/2 connection that were given up early, less those that were answered: then
    /// it is closed.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) h2_resets: Part<u32>,
}

/// How long clients may take: 1ms to 1h each.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "ClientTimeouts")]
pub(crate) struct ClientTimeoutsFile {
    /// For a request's head, from its first byte: else 408.
    pub(crate) head: Part<DurationText>,
    /// For the next request: else the connection is closed.
    pub(crate) keep_alive: Part<DurationText>,
    /// For the next part of a request's body: else 408.
    pub(crate) body_idle: Part<DurationText>,
    /// Without taking anything of a response: then the connection is closed.
    pub(crate) write_idle: Part<DurationText>,
    /// For the TLS handshake: else the connection is closed.
    pub(crate) handshake: Part<DurationText>,
}

/// What a route changes of the limits.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, rename = "RouteLimits")]
pub(crate) struct RouteLimitsFile {
    /// A request's body, up to 1024GiB, 0B for no bound; limits.body if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Part<SizeText>>,
    /// The whole exchange, both bodies included: 1ms to 24h; no bound if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<Part<DurationText>>,
}

impl Default for ClientLimitsFile {
    fn default() -> Self {
        let limits = ClientLimits::default();
        let size = |bytes: usize| Part::Read(SizeText(bytes as u64));
        Self {
            head_bytes: size(limits.head_bytes),
            headers: Part::Read(limits.headers),
            uri_bytes: size(limits.uri_bytes),
            body: Part::Read(SizeText(limits.body)),
            connections: Part::Read(limits.connections),
            connections_per_client: Part::Read(limits.connections_per_client),
            requests: Part::Read(limits.requests),
            h2_streams: Part::Read(limits.h2_streams),
            h2_resets: Part::Read(limits.h2_resets),
        }
    }
}

impl Default for ClientTimeoutsFile {
    fn default() -> Self {
        let timeouts = ClientTimeouts::default();
        Self {
            head: duration(timeouts.head),
            keep_alive: duration(timeouts.keep_alive),
            body_idle: duration(timeouts.body_idle),
            write_idle: duration(timeouts.write_idle),
            handshake: duration(timeouts.handshake),
        }
    }
}
