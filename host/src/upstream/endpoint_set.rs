//! The endpoints of an upstream at one time.

use std::sync::Arc;

use portcullis_config::Endpoint;

use super::balance::ring::Ring;
use super::endpoint_state::EndpointState;

/// Immutable; another takes its place when endpoints come or go.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// In the order of the config.
    pub members: Vec<Member>,
    /// For hashing, where the upstream hashes; else empty.
    pub ring: Ring,
}

/// One endpoint of a set.
#[derive(Debug)]
pub struct Member {
    /// Where the config says that it is.
    pub endpoint: Endpoint,
    /// Its share beside the others', 1 to 100.
    pub weight: u32,
    /// What the process knows of it.
    pub state: Arc<EndpointState>,
}

impl EndpointSet {
    /// The set of these members.
    pub fn new(members: Vec<Member>, hashes: bool) -> Self {
        let names = members
            .iter()
            .map(|member| (&*member.state.name, member.weight));
        let ring = if hashes {
            Ring::new(names)
        } else {
            Ring::default()
        };
        Self { members, ring }
    }

    /// The state of the endpoint of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<EndpointState>> {
        let mut states = self.members.iter().map(|member| &member.state);
        states.find(|state| &*state.name == name)
    }
}
