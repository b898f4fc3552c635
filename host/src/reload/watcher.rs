//! The kernel's word for it that something in a directory has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// More need not be kept: one is enough to look.
const KEPT_CHANGES: usize = 256;

/// Something that has happened in a directory.
pub(crate) enum Change {
    /// Somebody has written to that file, and not closed it yet.
    Written(PathBuf),
    /// Anything else: closed, made, renamed, removed.
    Other(PathBuf),
}

/// Watches directories. Without the kernel's help (no inotify, too many watches) it tells nothing.
pub(crate) struct Watcher {
    inner: Option<RecommendedWatcher>,
    changes: mpsc::Receiver<Change>,
    /// Watched directories, and which inode they were then.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watcher {
    /// Watches nothing yet.
    pub(crate) fn new() -> Self {
        let (sender, changes) = mpsc::channel(KEPT_CHANGES);
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for change in event.into_iter().flat_map(changes_of) {
                // Full: whoever reads them is about to look anyway.
                let _ = sender.try_send(change);
            }
        });
        let inner = inner
            .inspect_err(|error| tracing::warn!("files are not watched but polled: {error}"))
            .ok();
        Self {
            inner,
            changes,
            watched: BTreeMap::new(),
        }
    }

    /// Whether all of `directories` are watched from now on: those that were deleted and made anew,
    /// too, and no others.
    pub(crate) fn watch(&mut self, directories: &BTreeSet<PathBuf>) -> bool {
        let Some(inner) = &mut self.inner else {
            return false;
        };
        let mut all = true;
        let mut next = BTreeMap::new();
        for directory in directories {
            let now = identity(directory);
            let known = self.watched.remove(directory);
            let is_watched = match (now, known) {
                (None, _) => false,
                (Some(now), Some(known)) if now == known => true,
                _ => {
                    // The old watch, if there is one, is on a directory that is gone from here.
                    let _ = inner.unwatch(directory);
                    let watched = inner.watch(directory, RecursiveMode::NonRecursive);
                    watched.is_ok()
                }
            };
            match now {
                Some(now) if is_watched => drop(next.insert(directory.clone(), now)),
                _ => all = false,
            }
        }
        for directory in self.watched.keys() {
            let _ = inner.unwatch(directory);
        }
        self.watched = next;
        all
    }

    /// The next change; never, if nothing is watched.
    pub(crate) async fn changed(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// Another change that has happened already.
    pub(crate) fn also_changed(&mut self) -> Option<Change> {
        self.changes.try_recv().ok()
    }
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Reads are no changes; our own looks are reads.
fn changes_of(event: Event) -> Vec<Change> {
    let paths = event.paths.into_iter();
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return Vec::new(),
        EventKind::Modify(ModifyKind::Data(_)) => return paths.map(Change::Written).collect(),
        _ => {}
    }
    paths.map(Change::Other).collect()
}
