//! A store: its journal, its components, and what they come to.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_config::PolicyStore as StoreConfig;

use super::active::{ActiveVersion, ActiveVersions};
use super::components::Components;
use super::entry::{Action, Actor, Entry};
use super::history::{Contradiction, Histories, Version};
use super::journal::{self, JournalError, LockedJournal, Position};

const JOURNAL: &str = "journal.jsonl";
/// How long another process may take with the store.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// The policies' versions on disk. Several processes may use one directory; each change is made by one of
/// them at a time, on what the others have left.
#[derive(Debug)]
pub struct PolicyStore {
    directory: PathBuf,
    keep: usize,
    components: Components,
    state: Mutex<State>,
}

/// What was read of the journal.
#[derive(Debug, Clone)]
struct State {
    position: Position,
    histories: Histories,
}

/// The right to change the store; other processes wait meanwhile.
pub struct Change<'a> {
    store: &'a PolicyStore,
    journal: LockedJournal,
}

/// Why the store can't be used. All texts name the place.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("{}: {source}", .path.display())]
    File {
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Others could put components there.
    #[error("{}: others may write to it (mode {mode:o}); chmod 700 it", .path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process holds it.
    #[error("{}: another process has been changing the store for {LOCK_PATIENCE:?}; try again", .path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal says what can't be.
    #[error("{}: {source}", .path.display())]
    Contradiction {
        /// The directory.
        path: PathBuf,
        /// What can't be.
        source: Contradiction,
    },
}

impl PolicyStore {
    /// Opens the store, which is made if it is missing, and removes what uncompleted changes have left.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let store = Self {
            directory: config.directory.clone(),
            keep: config.keep,
            components: Components::of(&config.directory),
            state: Mutex::new(State::none()),
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { path, source }
        };
        for directory in [&store.directory, store.components.directory()] {
            let made = DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            made.map_err(failed(directory))?;
        }
        let metadata = std::fs::metadata(&store.directory).map_err(failed(&store.directory))?;
        let (path, mode) = (store.directory.clone(), metadata.mode() & 0o777);
        if mode & 0o022 != 0 {
            return Err(StoreError::Exposed { path, mode });
        }
        let change = store.change().await?;
        let histories = store.histories();
        let swept = store
            .components
            .sweep(|digest| histories.has_digest(digest));
        swept.map_err(failed(store.components.directory()))?;
        drop(change);
        Ok(store)
    }

    /// The active versions of a store that is only looked at; one that is not there has none.
    pub fn look(directory: &Path) -> Result<ActiveVersions, StoreError> {
        let mut state = State::none();
        state.read_on(directory)?;
        Ok(state.active(directory))
    }

    /// The active versions at this moment.
    pub fn active(&self) -> ActiveVersions {
        self.state().active(&self.directory)
    }

    /// What would serve if a version of that number and component did.
    pub fn active_with(&self, policy: &str, number: u64, digest: &str) -> ActiveVersions {
        let version = self.version(number, digest);
        self.active().with(policy, version)
    }

    /// A version of that number and component.
    pub fn version(&self, number: u64, digest: &str) -> ActiveVersion {
        ActiveVersion {
            number,
            digest: digest.to_owned(),
            path: self.components.path(digest),
        }
    }

    /// All that is stored.
    pub fn histories(&self) -> Histories {
        self.state().histories.clone()
    }

    /// Takes in what other processes have changed.
    pub fn refresh(&self) -> Result<(), StoreError> {
        self.state().read_on(&self.directory)
    }

    /// Every change that was made, read anew and checked from the first on.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Self::entries_in(&self.directory)
    }

    /// Every change that was made in the store there, checked from the first on.
    pub fn entries_in(directory: &Path) -> Result<Vec<Entry>, StoreError> {
        let (entries, _) = journal::read(&directory.join(JOURNAL), &Position::start())?;
        Ok(entries)
    }

    /// Begins a change, when no other process is in one. What others have done is known afterwards.
    pub async fn change(&self) -> Result<Change<'_>, StoreError> {
        let path = self.directory.join(JOURNAL);
        let until = tokio::time::Instant::now() + LOCK_PATIENCE;
        loop {
            if let Some(journal) = LockedJournal::try_open(&path)? {
                let store = self;
                self.state().read_on(&self.directory)?;
                return Ok(Change { store, journal });
            }
            if tokio::time::Instant::now() >= until {
                let path = self.directory.clone();
                return Err(StoreError::Busy { path });
            }
            tokio::time::sleep(LOCK_RETRY).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change<'_> {
    /// Puts a component among the others; its digest. No version has it yet.
    pub fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let components = &self.store.components;
        components
            .put(bytes)
            .map_err(|source| self.failed(components.directory(), source))
    }

    /// Removes a component, unless a version has it.
    pub fn forget(&self, digest: &str) -> Result<(), StoreError> {
        let components = &self.store.components;
        if self.store.state().histories.has_digest(digest) {
            return Ok(());
        }
        components
            .remove(digest)
            .map_err(|source| self.failed(&components.path(digest), source))
    }

    /// Makes the change. Nothing has changed if this fails.
    pub fn record(
        &mut self,
        policy: &str,
        action: Action,
        by: Actor,
        reason: &str,
    ) -> Result<Entry, StoreError> {
        let mut state = self.store.state();
        let last = state.position.last();
        let entry = Entry::after(last, SystemTime::now(), by, policy, action, reason);
        let mut next = state.clone();
        next.apply(&entry, &self.store.directory)?;
        next.position = self.journal.append(&entry, &state.position)?;
        *state = next;
        Ok(entry)
    }

    /// Deletes a version, which does not serve, and its component if no other has it.
    pub fn delete(
        &mut self,
        policy: &str,
        version: u64,
        by: Actor,
        reason: &str,
    ) -> Result<Entry, StoreError> {
        let digest = self.stored(policy, version).map(|known| known.digest);
        let entry = self.record(policy, Action::Delete { version }, by, reason)?;
        if let Some(digest) = digest {
            self.forget(&digest)?;
        }
        Ok(entry)
    }

    /// Deletes the policy's oldest versions beyond the `keep` newest, save the active one and the one
    /// before it; how many.
    pub fn delete_beyond(
        &mut self,
        policy: &str,
        keep: usize,
        because: (&Actor, &str),
    ) -> Result<usize, StoreError> {
        let histories = self.store.histories();
        let history = histories.get(policy);
        let spare = history.map_or_else(Vec::new, |history| history.beyond(keep));
        for version in &spare {
            self.delete(policy, *version, because.0.clone(), because.1)?;
        }
        Ok(spare.len())
    }

    /// Deletes those that `policy_store.keep` does not keep.
    pub fn delete_beyond_keep(&mut self, policy: &str) -> Result<usize, StoreError> {
        let keep = self.store.keep;
        let reason = format!("beyond policy_store.keep ({keep})");
        self.delete_beyond(policy, keep, (&Actor::gateway(), &reason))
    }

    fn stored(&self, policy: &str, version: u64) -> Option<Version> {
        let state = self.store.state();
        let history = state.histories.get(policy)?;
        history.versions().get(&version).cloned()
    }

    fn failed(&self, path: &Path, source: io::Error) -> StoreError {
        let path = path.to_owned();
        StoreError::File { path, source }
    }
}

impl State {
    fn none() -> Self {
        Self {
            position: Position::start(),
            histories: Histories::default(),
        }
    }

    /// Takes in what was appended since.
    fn read_on(&mut self, directory: &Path) -> Result<(), StoreError> {
        let (entries, position) = journal::read(&directory.join(JOURNAL), &self.position)?;
        let mut next = self.clone();
        for entry in &entries {
            next.apply(entry, directory)?;
        }
        next.position = position;
        *self = next;
        Ok(())
    }

    fn apply(&mut self, entry: &Entry, directory: &Path) -> Result<(), StoreError> {
        let path = directory.to_owned();
        self.histories
            .apply(entry)
            .map_err(|source| StoreError::Contradiction { path, source })
    }

    fn active(&self, directory: &Path) -> ActiveVersions {
        let components = Components::of(directory);
        let versions = self.histories.iter().filter_map(|(name, history)| {
            let number = history.active()?;
            let digest = history.versions().get(&number)?.digest.clone();
            let path = components.path(&digest);
            let active = ActiveVersion {
                number,
                digest,
                path,
            };
            Some((name.to_owned(), active))
        });
        ActiveVersions {
            directory: directory.to_owned(),
            versions: versions.collect(),
        }
    }
}
