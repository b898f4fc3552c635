//! The snapshot that a gateway starts with: what the store says, and the files that wait in its watched
//! directory.

use portcullis_config::{Config, Problem};

use crate::policy_store::entry::{Action, Actor};
use crate::policy_store::store::{PolicyStore, StoreError};
use crate::policy_store::watch::{self, Found};
use crate::snapshot::{Foundations, Snapshot};

/// Why there is none.
pub enum FirstError {
    /// The config can't be served.
    Config(Vec<Problem>),
    /// The store can't be used.
    Store(StoreError),
}

impl From<StoreError> for FirstError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Compiles the config. What was put into the watched directory since the gateway saw it last becomes
/// versions, if all of it can serve; else the store's versions serve, and the watch says what is wrong.
pub async fn first_snapshot(
    config: &Config,
    foundations: &Foundations,
    store: Option<&PolicyStore>,
) -> Result<Snapshot, FirstError> {
    let Some(store) = store else {
        return build(config, &Default::default(), foundations).await;
    };
    let watched = config.policy_store.as_ref();
    let watched = watched.and_then(|store| store.watch.as_deref());
    let found = watched.map_or_else(Vec::new, |directory| {
        watch::find(directory, &store.histories())
    });
    if found.is_empty() {
        return build(config, &store.active(), foundations).await;
    }
    match with_found(config, foundations, store, &found).await {
        Err(FirstError::Config(problems)) => {
            let without = build(config, &store.active(), foundations).await;
            without.map_err(|_| FirstError::Config(problems))
        }
        built => built,
    }
}

async fn with_found(
    config: &Config,
    foundations: &Foundations,
    store: &PolicyStore,
    found: &[Found],
) -> Result<Snapshot, FirstError> {
    let mut change = store.change().await?;
    let histories = store.histories();
    let mut active = store.active();
    let mut pushes = Vec::new();
    for file in found {
        let digest = change.put(&file.component)?;
        let history = histories.get(&file.policy);
        let version = history.map_or(1, |history| history.next());
        active = active.with(&file.policy, store.version(version, &digest));
        pushes.push((file, version, digest));
    }
    let built = build(config, &active, foundations).await;
    for (file, version, digest) in pushes {
        if built.is_err() {
            change.forget(&digest)?;
            continue;
        }
        let action = Action::Push {
            version,
            digest,
            size_bytes: file.component.len() as u64,
            activated: true,
        };
        let by = Actor::watch(&file.path.display().to_string());
        change.record(&file.policy, action, by, watch::REASON)?;
    }
    built
}

async fn build(
    config: &Config,
    active: &crate::policy_store::active::ActiveVersions,
    foundations: &Foundations,
) -> Result<Snapshot, FirstError> {
    let built = Snapshot::build(config, active, 1, foundations).await;
    built.map_err(FirstError::Config)
}
