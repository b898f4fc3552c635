//! Where a route sends its requests.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_config::Destination as DestinationConfig;

use super::split::Split;
use crate::exchange::RequestHead;

/// Where a route sends its requests.
#[derive(Debug)]
pub enum Destination {
    /// All to one upstream.
    Upstream(Target),
    /// To several upstreams, by weight.
    Split(Split),
}

/// An upstream of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its place in the snapshot.
    pub place: usize,
    /// Its name in the config.
    pub name: Arc<str>,
}

impl Destination {
    /// As the config has it; `place` finds an upstream of the snapshot by its name.
    pub fn from_config(config: &DestinationConfig, place: impl Fn(&str) -> usize) -> Self {
        let target = |name: &str| Target {
            place: place(name),
            name: name.into(),
        };
        match config {
            DestinationConfig::Upstream(name) => Self::Upstream(target(name)),
            DestinationConfig::Split(split) => Self::Split(Split::from_config(split, target)),
        }
    }

    /// The place of the upstream that gets this request. `random` is asked only where chance decides.
    pub fn choose(
        &self,
        head: &RequestHead,
        client: IpAddr,
        random: impl FnOnce() -> u64,
    ) -> Option<usize> {
        match self {
            Self::Upstream(target) => Some(target.place),
            Self::Split(split) => Some(split.choose(head, client, random)),
        }
    }

    /// The name of the upstream at a place that was chosen here.
    pub fn name_of(&self, place: usize) -> Option<&Arc<str>> {
        let mut targets: Box<dyn Iterator<Item = &Target>> = match self {
            Self::Upstream(target) => Box::new(std::iter::once(target)),
            Self::Split(split) => Box::new(split.targets()),
        };
        targets
            .find(|target| target.place == place)
            .map(|target| &target.name)
    }
}
