//! Named services and the ways to them: endpoints, connections, attempts.

pub mod attempt;
pub mod attempts;
pub mod balance;
pub mod body;
pub mod body_source;
pub mod circuit;
pub mod connection;
pub mod dispatch;
pub mod dns;
pub mod endpoint_set;
pub mod endpoint_state;
pub mod health;
pub mod health_probe;
pub mod health_streak;
pub mod live_upstream;
pub mod mirror;
pub mod moment;
pub mod outcall;
pub mod outlier;
pub mod permit;
pub mod pools;
pub mod registry;
pub mod replay_body;
pub mod resolution;
pub mod retry_after;
pub mod retry_budget;
pub mod status;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use self::connection::Transport;
use self::live_upstream::LiveUpstream;
use crate::telemetry::upstream::UpstreamSeries;

/// A named service of the config.
pub struct Upstream {
    /// The config's name.
    pub name: Arc<str>,
    /// Its endpoints, and how they fare.
    pub live: Arc<LiveUpstream>,
    /// How they are spoken to.
    pub transport: Transport,
    /// Time to get a connection.
    pub connect_timeout: Duration,
    /// Time from the start of an attempt to the response's head.
    pub attempt_timeout: Duration,
    /// What is measured of it.
    pub series: Arc<UpstreamSeries>,
}
