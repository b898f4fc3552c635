//! Upstreams at one moment, for those who look: a status page, metrics, tests.

use std::time::Duration;

use super::circuit::CircuitStatus;
use super::endpoint_set::Member;
use super::live_upstream::LiveUpstream;
use super::moment::Moment;

/// An upstream and its endpoints at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// The name in the config.
    pub name: String,
    /// In the order of the config. Empty: its names have not been resolved.
    pub endpoints: Vec<EndpointStatus>,
    /// What it is sent.
    pub circuit: CircuitStatus,
    /// A further request would be refused, or would have to wait for a connection.
    pub is_full: bool,
}

/// An endpoint at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Its address, as metrics name it.
    pub name: String,
    /// `host:port` as configured.
    pub authority: String,
    /// The configured weight.
    pub weight: u32,
    /// What the health checks say; true without any.
    pub healthy: bool,
    /// The time that is left of an ejection.
    pub ejected_for: Option<Duration>,
    /// Requests whose responses have not ended.
    pub in_flight: u32,
}

/// The upstream at that moment.
pub fn of(live: &LiveUpstream, now: Moment) -> UpstreamStatus {
    let limits = &live.config.circuit;
    let circuit = live.counts.circuit.status();
    let endpoints = live.endpoints();
    UpstreamStatus {
        name: live.name.to_string(),
        endpoints: endpoints
            .members
            .iter()
            .map(|member| of_endpoint(member, now))
            .collect(),
        circuit,
        is_full: circuit.requests >= limits.max_requests
            || circuit.connections >= limits.max_connections,
    }
}

fn of_endpoint(member: &Member, now: Moment) -> EndpointStatus {
    let ejected_for = member.state.outlier.ejected_until().since(now);
    EndpointStatus {
        name: member.state.name.to_string(),
        authority: member.endpoint.authority(),
        weight: member.weight,
        healthy: member.state.is_healthy(),
        ejected_for: (!ejected_for.is_zero()).then_some(ejected_for),
        in_flight: member.state.in_flight(),
    }
}
