//! What the whole process knows of one upstream: its endpoints now, and how they fare.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_config::{LoadBalancing, Upstream as UpstreamConfig};

use super::endpoint_set::{EndpointSet, Member};
use super::endpoint_state::EndpointState;
use super::moment::Moment;

/// Shared by all workers; outlives configs that do not change the upstream.
#[derive(Debug)]
pub struct LiveUpstream {
    /// The name in the config.
    pub name: Arc<str>,
    /// The upstream as the config has it.
    pub config: UpstreamConfig,
    endpoints: ArcSwap<EndpointSet>,
}

/// An upstream and its endpoints at one moment, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// The name in the config.
    pub name: String,
    /// In the order of the config.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// As metrics name it.
    pub name: String,
    /// The configured weight.
    pub weight: u32,
    /// What the health checks say; true without any.
    pub healthy: bool,
    /// The time that is left of an ejection.
    pub ejected_for: Option<Duration>,
    /// Requests whose responses have not ended.
    pub in_flight: u32,
}

impl LiveUpstream {
    /// An upstream as configured, with the state of those endpoints that `previous` had as well.
    pub fn new(name: &str, config: &UpstreamConfig, previous: Option<&Self>) -> Self {
        // Where all are new there is nobody to take the load while they warm up.
        let since = previous.map_or(Moment::NEVER, |_| Moment::now());
        let known = previous.map(|previous| previous.endpoints());
        let members = config.endpoints.iter().map(|weighted| {
            let authority = weighted.endpoint.authority();
            let state = known.as_ref().and_then(|known| known.find(&authority));
            Member {
                endpoint: weighted.endpoint.clone(),
                weight: weighted.weight,
                state: state
                    .cloned()
                    .unwrap_or_else(|| Arc::new(EndpointState::new(authority.into(), since))),
            }
        });
        let hashes = matches!(config.load_balancing, LoadBalancing::Hash(_));
        Self {
            name: name.into(),
            config: config.clone(),
            endpoints: ArcSwap::from_pointee(EndpointSet::new(members.collect(), hashes)),
        }
    }

    /// The endpoints as they are now.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Whether `set` still holds.
    pub fn has(&self, set: &Arc<EndpointSet>) -> bool {
        Arc::ptr_eq(&self.endpoints.load(), set)
    }

    /// The upstream at this moment.
    pub fn status(&self, now: Moment) -> UpstreamStatus {
        let endpoints = self.endpoints();
        let status = |member: &Member| {
            let ejected_for = member.state.ejected_until().since(now);
            EndpointStatus {
                name: member.state.name.to_string(),
                weight: member.weight,
                healthy: member.state.is_healthy(),
                ejected_for: (!ejected_for.is_zero()).then_some(ejected_for),
                in_flight: member.state.in_flight(),
            }
        };
        UpstreamStatus {
            name: self.name.to_string(),
            endpoints: endpoints.members.iter().map(status).collect(),
        }
    }
}
