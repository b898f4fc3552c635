//! Where a route sends its requests.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_config::{Destination as DestinationConfig, Route as RouteConfig};

use super::fixed_response::FixedResponse;
use super::redirect::Redirect;
use super::split::Split;
use crate::exchange::RequestHead;

/// Where a route sends its requests.
#[derive(Debug)]
pub enum Destination {
    /// All to one upstream.
    Upstream(Target),
    /// To several upstreams, by weight.
    Split(Split),
    /// To nobody: the client is sent elsewhere.
    Redirect(Redirect),
    /// To nobody: the answer is always the same.
    Respond(FixedResponse),
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
    /// As the config has it; `place` finds an upstream of the snapshot by its name. The error is that of
    /// the file of a fixed response.
    pub fn from_config(
        config: &RouteConfig,
        place: impl Fn(&str) -> usize,
    ) -> Result<Self, String> {
        let target = |name: &str| Target {
            place: place(name),
            name: name.into(),
        };
        Ok(match &config.destination {
            DestinationConfig::Upstream(name) => Self::Upstream(target(name)),
            DestinationConfig::Split(split) => Self::Split(Split::from_config(split, target)),
            DestinationConfig::Redirect(redirect) => {
                Self::Redirect(Redirect::from_config(redirect, &config.matches.path_prefix))
            }
            DestinationConfig::Respond(response) => {
                Self::Respond(FixedResponse::from_config(response)?)
            }
        })
    }

    /// The place of the upstream that gets this request; `None` where there is none. `random` is asked only where chance decides.
    pub fn choose(
        &self,
        head: &RequestHead,
        client: IpAddr,
        random: impl FnOnce() -> u64,
    ) -> Option<usize> {
        match self {
            Self::Upstream(target) => Some(target.place),
            Self::Split(split) => Some(split.choose(head, client, random)),
            Self::Redirect(_) | Self::Respond(_) => None,
        }
    }

    /// The upstreams that it may choose.
    pub fn targets(&self) -> Box<dyn Iterator<Item = &Target> + '_> {
        match self {
            Self::Upstream(target) => Box::new(std::iter::once(target)),
            Self::Split(split) => Box::new(split.targets()),
            Self::Redirect(_) | Self::Respond(_) => Box::new(std::iter::empty()),
        }
    }

    /// The name of the upstream at a place that was chosen here.
    pub fn name_of(&self, place: usize) -> Option<&Arc<str>> {
        self.targets()
            .find(|target| target.place == place)
            .map(|target| &target.name)
    }
}
