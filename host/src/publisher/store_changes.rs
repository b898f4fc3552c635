//! Changes of the policy store in a running gateway: tried on the serving config first, written down,
//! and then served. One that fails anywhere has changed nothing.

use std::sync::Arc;

use portcullis_config::{ComponentSource, Config, Problem};
use tokio::sync::MutexGuard;

use super::Publisher;
use crate::policy::wanted::Wanted;
use crate::policy_store::active::ActiveVersions;
use crate::policy_store::entry::{Action, Actor};
use crate::policy_store::store::{Change, PolicyStore, StoreError};
use crate::snapshot::Snapshot;
use crate::wasm::component::PolicyComponent;

/// A component that is to become a version.
pub struct Upload<'a> {
    /// The policy's name in the store.
    pub policy: &'a str,
    /// The file.
    pub component: &'a [u8],
    /// Whether it is to serve at once.
    pub activate: bool,
}

/// Who changes something, and why.
pub struct Because<'a> {
    /// Who.
    pub by: Actor,
    /// Why, in the actor's words.
    pub reason: &'a str,
}

/// What a change has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The version that was pushed, or serves now.
    pub version: u64,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
    /// Whether it is the active one.
    pub active: bool,
    /// Whether anything has changed: it was not the active one already.
    pub changed: bool,
    /// The gateway's revision.
    pub revision: u64,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no store.
    #[error(
        "this gateway has no policy store; add `policy_store: {{ directory: policy-store }}` to its config and restart it"
    )]
    NoStore,
    /// Nothing of that name was ever pushed.
    #[error("no version of {0:?} was ever pushed")]
    UnknownPolicy(String),
    /// The version is not in the store.
    #[error("version {version} of {policy:?} is not in the store; there are: {known}")]
    UnknownVersion {
        /// The policy.
        policy: String,
        /// What was asked for.
        version: u64,
        /// What there is.
        known: String,
    },
    /// There is nothing to roll back to.
    #[error("no version of {0:?} served before the active one and is still there")]
    NothingBefore(String),
    /// It serves.
    #[error(
        "version {version} of {policy:?} is the active one; activate another one before it is deleted"
    )]
    Active {
        /// The policy.
        policy: String,
        /// The version.
        version: u64,
    },
    /// The component, or what the config makes of it.
    #[error("{} problem(s) with the policy", .0.len())]
    Problems(Vec<Problem>),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change under way: nobody else changes config or store meanwhile.
struct Attempt<'a> {
    publisher: &'a Publisher,
    serving: MutexGuard<'a, Config>,
    store: &'a PolicyStore,
    change: Change<'a>,
}

impl Publisher {
    /// Stores a component as the policy's next version and, if that is asked for, serves it. One whose
    /// component is the active one already changes nothing.
    pub async fn push(
        &self,
        upload: Upload<'_>,
        because: Because<'_>,
    ) -> Result<Published, ChangeError> {
        let mut attempt = self.attempt().await?;
        let digest = attempt.change.put(upload.component)?;
        let pushed = attempt.push(&upload, &digest, because).await;
        if pushed.is_err() {
            attempt.change.forget(&digest)?;
        }
        pushed
    }

    /// Serves a stored version.
    pub async fn activate(
        &self,
        policy: &str,
        version: u64,
        because: Because<'_>,
    ) -> Result<Published, ChangeError> {
        let attempt = self.attempt().await?;
        let action = Action::Activate { version };
        attempt.serve(policy, action, because).await
    }

    /// Serves the version that served before the active one.
    pub async fn roll_back(
        &self,
        policy: &str,
        because: Because<'_>,
    ) -> Result<Published, ChangeError> {
        let attempt = self.attempt().await?;
        let histories = attempt.store.histories();
        let history = histories.get(policy);
        let history = history.ok_or_else(|| ChangeError::UnknownPolicy(policy.to_owned()))?;
        let before = history.before();
        let version = before.ok_or_else(|| ChangeError::NothingBefore(policy.to_owned()))?;
        let action = Action::RollBack { version };
        attempt.serve(policy, action, because).await
    }

    /// Deletes a version that does not serve.
    pub async fn delete(
        &self,
        policy: &str,
        version: u64,
        because: Because<'_>,
    ) -> Result<(), ChangeError> {
        let mut attempt = self.attempt().await?;
        stored_digest(attempt.store, policy, version)?;
        let histories = attempt.store.histories();
        let active = histories.get(policy).and_then(|history| history.active());
        if active == Some(version) {
            let policy = policy.to_owned();
            return Err(ChangeError::Active { policy, version });
        }
        attempt
            .change
            .delete(policy, version, because.by, because.reason)?;
        Ok(())
    }

    /// Deletes the policy's versions that neither serve nor would after a roll back; how many.
    pub async fn delete_unused(
        &self,
        policy: &str,
        because: Because<'_>,
    ) -> Result<usize, ChangeError> {
        let mut attempt = self.attempt().await?;
        if attempt.store.histories().get(policy).is_none() {
            return Err(ChangeError::UnknownPolicy(policy.to_owned()));
        }
        let because = (&because.by, because.reason);
        Ok(attempt.change.delete_beyond(policy, 0, because)?)
    }

    /// The component of a stored version, as it was loaded.
    pub async fn component(
        &self,
        policy: &str,
        version: u64,
    ) -> Result<Arc<PolicyComponent>, ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoStore)?;
        let digest = stored_digest(store, policy, version)?;
        let active = store.active_with(policy, version, &digest);
        let source = ComponentSource::Store(policy.to_owned());
        let loaded = self.foundations.loader.load(&source, &active).await;
        loaded.map_err(no_component)
    }

    async fn attempt(&self) -> Result<Attempt<'_>, ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoStore)?;
        let serving = self.serving.lock().await;
        Ok(Attempt {
            publisher: self,
            serving,
            store,
            change: store.change().await?,
        })
    }
}

impl Attempt<'_> {
    async fn push(
        &mut self,
        upload: &Upload<'_>,
        digest: &str,
        because: Because<'_>,
    ) -> Result<Published, ChangeError> {
        let histories = self.store.histories();
        let history = histories.get(upload.policy);
        if let Some(version) = history.and_then(|history| history.active())
            && stored_digest(self.store, upload.policy, version)? == digest
        {
            return Ok(self.published(version, digest, (true, false)));
        }
        let version = history.map_or(1, |history| history.next());
        let active = self.store.active_with(upload.policy, version, digest);
        let snapshot = match upload.activate {
            true => self.build(upload.policy, &active).await?,
            false => {
                let source = ComponentSource::Store(upload.policy.to_owned());
                let loader = &self.publisher.foundations.loader;
                loader.load(&source, &active).await.map_err(no_component)?;
                None
            }
        };
        let action = Action::Push {
            version,
            digest: digest.to_owned(),
            size_bytes: upload.component.len() as u64,
            activated: upload.activate,
        };
        self.change
            .record(upload.policy, action, because.by, because.reason)?;
        self.swap(snapshot).await;
        if let Err(error) = self.change.delete_beyond_keep(upload.policy) {
            tracing::warn!(
                "old versions of {:?} are not deleted: {error}",
                upload.policy
            );
        }
        Ok(self.published(version, digest, (upload.activate, true)))
    }

    /// Serves the version that the action speaks of, which is in the store.
    async fn serve(
        mut self,
        policy: &str,
        action: Action,
        because: Because<'_>,
    ) -> Result<Published, ChangeError> {
        let version = action.version();
        let digest = stored_digest(self.store, policy, version)?;
        let histories = self.store.histories();
        if histories.get(policy).and_then(|history| history.active()) == Some(version) {
            return Ok(self.published(version, &digest, (true, false)));
        }
        let active = self.store.active_with(policy, version, &digest);
        let snapshot = self.build(policy, &active).await?;
        self.change
            .record(policy, action, because.by, because.reason)?;
        self.swap(snapshot).await;
        Ok(self.published(version, &digest, (true, true)))
    }

    /// What would serve; nothing new where the config does not use the policy, whose component is looked at in any
    /// case.
    async fn build(
        &self,
        policy: &str,
        active: &ActiveVersions,
    ) -> Result<Option<Snapshot>, ChangeError> {
        let source = ComponentSource::Store(policy.to_owned());
        let wanted = Wanted::by(&self.serving, active);
        // Kept until the snapshot has them: one compile child describes the component and makes its uses.
        let loaded = self.publisher.foundations.loader.load_for(&source, &wanted);
        let _made = loaded.await.map_err(no_component)?;
        let mut policies = self.serving.policies.values();
        if !policies.any(|configured| configured.component == source) {
            return Ok(None);
        }
        let built = self.publisher.build(&self.serving, active).await;
        built.map(Some).map_err(ChangeError::Problems)
    }

    async fn swap(&self, snapshot: Option<Snapshot>) {
        if let Some(snapshot) = snapshot {
            self.publisher.swap(snapshot).await;
        }
    }

    fn published(&self, version: u64, digest: &str, (active, changed): (bool, bool)) -> Published {
        Published {
            version,
            digest: digest.to_owned(),
            active,
            changed,
            revision: self.publisher.shared.snapshot.load().revision,
        }
    }
}

fn no_component(message: String) -> ChangeError {
    ChangeError::Problems(vec![Problem {
        line: None,
        path: "component".to_owned(),
        message,
    }])
}

fn stored_digest(store: &PolicyStore, policy: &str, version: u64) -> Result<String, ChangeError> {
    let histories = store.histories();
    let history = histories.get(policy);
    let history = history.ok_or_else(|| ChangeError::UnknownPolicy(policy.to_owned()))?;
    let known = history.versions();
    if let Some(version) = known.get(&version) {
        return Ok(version.digest.clone());
    }
    let known: Vec<String> = known.keys().map(u64::to_string).collect();
    Err(ChangeError::UnknownVersion {
        policy: policy.to_owned(),
        version,
        known: known.join(", "),
    })
}
