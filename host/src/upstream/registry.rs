//! The upstreams of the process, from one config to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_config::Upstream as UpstreamConfig;

use super::live_upstream::{LiveUpstream, UpstreamStatus};
use super::moment::Moment;

/// Keeps what is known of upstreams while configs change. Not asked by requests.
#[derive(Default)]
pub struct UpstreamRegistry(Mutex<BTreeMap<String, Arc<LiveUpstream>>>);

impl UpstreamRegistry {
    /// The upstream of a config that may come to serve: the present one if nothing about it changes,
    /// else a new one that knows the endpoints that stay. Changes nothing by itself.
    pub fn prepare(&self, name: &str, config: &UpstreamConfig) -> Arc<LiveUpstream> {
        let kept = self.lock();
        let previous = kept.get(name);
        match previous.filter(|previous| previous.config == *config) {
            Some(same) => same.clone(),
            None => Arc::new(LiveUpstream::new(
                name,
                config,
                previous.map(|live| &**live),
            )),
        }
    }

    /// The config of these upstreams begins to serve.
    pub fn settle<'a>(&self, upstreams: impl Iterator<Item = &'a Arc<LiveUpstream>>) {
        *self.lock() = upstreams
            .map(|live| (live.name.to_string(), live.clone()))
            .collect();
    }

    /// All upstreams at this moment, in the order of their names.
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let now = Moment::now();
        self.lock().values().map(|live| live.status(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<LiveUpstream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
