//! What begins to serve: builds the next snapshot aside and swaps it in whole. One change at a time,
//! whether it comes from the config's file or from the policy store.

mod first_snapshot;
mod store_changes;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use portcullis_config::{Config, ConfigErrors, Problem};
use tokio::sync::Mutex;

use crate::policy_store::active::ActiveVersions;
use crate::policy_store::store::PolicyStore;
use crate::snapshot::{Foundations, Snapshot};
use crate::telemetry::{self, downstream::CertificateReading};
use crate::worker::Shared;

pub use first_snapshot::{FirstError, first_snapshot};
pub use store_changes::{Because, ChangeError, Published, Upload};

/// Publishes snapshots to the workers.
pub struct Publisher {
    shared: Arc<Shared>,
    foundations: Foundations,
    store: Option<PolicyStore>,
    /// The config that serves; held while the next snapshot is made.
    serving: Mutex<Config>,
}

impl Publisher {
    /// Publishes the first snapshot, which is of `config`.
    pub async fn start(
        config: &Config,
        snapshot: Snapshot,
        foundations: Foundations,
        store: Option<PolicyStore>,
    ) -> Self {
        foundations.metrics.config.serves(snapshot.revision);
        foundations.metrics.config.read_well(SystemTime::now());
        settle(&snapshot, &foundations).await;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics: foundations.metrics.clone(),
            permits: Arc::default(),
            recent_faults: Arc::default(),
        });
        observe(&shared);
        Self {
            shared,
            foundations,
            store,
            serving: Mutex::new(config.clone()),
        }
    }

    /// What workers read.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What snapshots are built from.
    pub fn foundations(&self) -> &Foundations {
        &self.foundations
    }

    /// The policies' versions, if the gateway was started with a store.
    pub fn store(&self) -> Option<&PolicyStore> {
        self.store.as_ref()
    }

    /// Serves another config from the next request on; the number of its revision. A config with
    /// problems changes nothing.
    pub async fn reload(&self, config: &Config) -> Result<u64, Vec<Problem>> {
        let mut serving = self.serving.lock().await;
        let built = match self.active_now() {
            Ok(active) => self.build(config, &active).await,
            Err(problem) => Err(vec![problem]),
        };
        let metrics = &self.foundations.metrics;
        match built {
            Ok(snapshot) => {
                let revision = self.swap(snapshot).await;
                telemetry::log::configure(&config.log);
                *serving = config.clone();
                metrics.config.reload("ok");
                metrics.config.read_well(SystemTime::now());
                Ok(revision)
            }
            Err(problems) => {
                metrics.config.reload("rejected");
                Err(problems)
            }
        }
    }

    /// Adds the problems of policies to those of a config that could not be parsed for a reload.
    pub async fn check_on(&self, errors: ConfigErrors) -> ConfigErrors {
        self.foundations.metrics.config.reload("rejected");
        let active = self.store.as_ref().map(PolicyStore::active);
        let loader = &self.foundations.loader;
        loader.check_on(errors, active.as_ref()).await
    }

    /// The active versions, those of other processes' changes included.
    fn active_now(&self) -> Result<ActiveVersions, Problem> {
        let Some(store) = &self.store else {
            return Ok(ActiveVersions::default());
        };
        let refreshed = store.refresh();
        refreshed.map_err(|error| Problem {
            line: None,
            path: "policy_store.directory".to_owned(),
            message: error.to_string(),
        })?;
        Ok(store.active())
    }

    async fn build(
        &self,
        config: &Config,
        active: &ActiveVersions,
    ) -> Result<Snapshot, Vec<Problem>> {
        let revision = self.shared.snapshot.load().revision + 1;
        Snapshot::build(config, active, revision, &self.foundations).await
    }

    /// The next request is served by `snapshot`; its revision.
    async fn swap(&self, snapshot: Snapshot) -> u64 {
        let revision = snapshot.revision;
        settle(&snapshot, &self.foundations).await;
        self.shared.snapshot.store(Arc::new(snapshot));
        self.foundations.metrics.config.serves(revision);
        revision
    }
}

/// What outlives snapshots is made fit for this one, which is about to serve.
async fn settle(snapshot: &Snapshot, foundations: &Foundations) {
    foundations.kv.settle(&snapshot.kv_quotas);
    foundations.access_logs.settle(snapshot.access_log.as_ref());
    foundations.exports.settle(&snapshot.exporting);
    let (upstreams, dns) = (&snapshot.upstreams, &snapshot.dns);
    foundations.upstreams.settle(upstreams, dns).await;
}

/// Shows what serves in the metrics.
fn observe(shared: &Arc<Shared>) {
    let seen = Arc::downgrade(shared);
    shared.metrics.observe_policies(move || {
        let serving = seen.upgrade().map(|shared| shared.snapshot.load_full());
        serving.map_or_else(Vec::new, |snapshot| snapshot.policies.clone())
    });
    let seen = Arc::downgrade(shared);
    shared.metrics.observe_certificates(move || {
        let serving = seen.upgrade().map(|shared| shared.snapshot.load_full());
        serving.map_or_else(Vec::new, |snapshot| certificates(&snapshot))
    });
}

fn certificates(snapshot: &Snapshot) -> Vec<CertificateReading> {
    let mut readings = Vec::new();
    for (listener, settings) in &snapshot.listeners {
        for (certificate, ends) in settings.certificate_ends() {
            readings.push(CertificateReading {
                listener: listener.to_string(),
                certificate,
                ends,
            });
        }
    }
    readings
}
