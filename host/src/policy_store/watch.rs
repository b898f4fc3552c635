//! The watched directory: a file `NAME.wasm` that was put there, or changed, becomes the active version
//! of NAME once it has come to rest. Each content is taken once, so that a roll back stays one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use portcullis_config::is_name;
use sha2::{Digest as _, Sha256};

use super::entry::Actor;
use super::history::Histories;
use crate::policy::component_bytes::MAX_COMPONENT_BYTES;
use crate::publisher::{Because, ChangeError, Publisher, Upload};
use crate::reload::settling::{Next, Settling};
use crate::reload::sight::{Digest, Eye};
use crate::reload::watcher::{Change, Watcher};

/// Why a version was pushed that was found.
pub const REASON: &str = "found in policy_store.watch";
/// How often the directory is looked at anyway, also while it is not there.
const POLL: Duration = Duration::from_secs(1);
/// Pause between two looks: a storm of changes makes few.
const PAUSE: Duration = Duration::from_millis(50);
/// What no file has.
const NOTHING: Digest = [0; 32];

/// A file that is to become a version.
pub struct Found {
    /// The policy's name in the store.
    pub policy: String,
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub component: Vec<u8>,
}

/// The files whose content is not the one that was last taken from there.
pub fn find(directory: &Path, histories: &Histories) -> Vec<Found> {
    let files = named(directory).into_iter();
    let found = files.filter_map(|(policy, path)| {
        let component = read(&path).ok()?;
        let digest = HEXLOWER.encode(&Sha256::digest(&component));
        let known = histories.get(&policy).and_then(|history| history.found());
        (known != Some(&digest)).then_some(Found {
            policy,
            path,
            component,
        })
    });
    found.collect()
}

/// Watches the directory for as long as the gateway runs.
pub async fn watch(publisher: Arc<Publisher>, directory: PathBuf) {
    let Some(store) = publisher.store() else {
        return;
    };
    let mut watched = Watched::new(directory, &store.histories());
    watched.attach();
    tracing::info!("{}: watched for policies", watched.directory.display());
    loop {
        for (policy, path) in watched.rested().await {
            take(&publisher, &policy, &path).await;
        }
    }
}

async fn take(publisher: &Publisher, policy: &str, path: &Path) {
    let component = match read(path) {
        Ok(component) => component,
        Err(error) => {
            tracing::error!("{}: not taken: {error}", path.display());
            return;
        }
    };
    let upload = Upload {
        policy,
        component: &component,
        activate: true,
    };
    let because = Because {
        by: Actor::watch(&path.display().to_string()),
        reason: REASON,
    };
    match publisher.push(upload, because).await {
        Ok(published) if published.changed => tracing::info!(
            "{}: version {} of {policy:?} is active",
            path.display(),
            published.version
        ),
        Ok(_) => {}
        Err(ChangeError::Problems(problems)) => {
            let problems = problems.iter().map(|problem| format!("\n  {problem}"));
            tracing::error!(
                "{}: refused, nothing has changed:{}",
                path.display(),
                problems.collect::<String>()
            );
        }
        Err(error) => tracing::error!("{}: not taken: {error}", path.display()),
    }
}

/// What is known of the directory's files.
struct Watched {
    directory: PathBuf,
    eye: Eye,
    watcher: Watcher,
    files: BTreeMap<String, Settling<Digest>>,
    /// What was last taken of each, when the gateway started.
    taken: BTreeMap<String, Digest>,
    was_there: bool,
}

impl Watched {
    fn new(directory: PathBuf, histories: &Histories) -> Self {
        let taken = histories.iter().filter_map(|(policy, history)| {
            let digest = from_hexadecimal(history.found()?)?;
            Some((policy.to_owned(), digest))
        });
        Self {
            taken: taken.collect(),
            directory,
            eye: Eye::default(),
            watcher: Watcher::new(),
            files: BTreeMap::new(),
            was_there: true,
        }
    }

    /// The files that have changed and come to rest.
    async fn rested(&mut self) -> Vec<(String, PathBuf)> {
        let mut due = Instant::now();
        loop {
            // Watched first, looked at then: no change falls in between.
            self.attach();
            tokio::select! {
                change = self.watcher.changed() => self.note(change),
                () = tokio::time::sleep_until(due.into()) => {}
            }
            tokio::time::sleep(PAUSE).await;
            while let Some(change) = self.watcher.also_changed() {
                self.note(change);
            }
            let (rested, next) = self.look(Instant::now());
            if !rested.is_empty() {
                return rested;
            }
            due = next;
        }
    }

    /// Has changes told from now on; the directory may be another one than before.
    fn attach(&mut self) {
        let directory = self.directory.clone();
        self.watcher.watch(&BTreeSet::from([directory]));
    }

    fn look(&mut self, now: Instant) -> (Vec<(String, PathBuf)>, Instant) {
        self.tell_whether_there();
        let (mut rested, mut due) = (Vec::new(), now + POLL);
        for (policy, path) in named(&self.directory) {
            let Ok(digest) = self.eye.digest(&path) else {
                continue;
            };
            match self.settling(&policy).look(now, &digest, false) {
                Next::Read => rested.push((policy, path)),
                Next::LookAt(moment) => due = due.min(moment),
                Next::Wait => {}
            }
        }
        (rested, due)
    }

    fn tell_whether_there(&mut self) {
        let is_there = self.directory.is_dir();
        if self.was_there && !is_there {
            tracing::warn!(
                "policy_store.watch: {} is no directory; it is watched once it is there",
                self.directory.display()
            );
        }
        self.was_there = is_there;
    }

    fn note(&mut self, change: Change) {
        let (path, is_written) = match &change {
            Change::Written(path) => (path, true),
            Change::Other(path) => (path, false),
        };
        match policy_of(path) {
            Some(policy) if is_written => self.settling(&policy).written(Instant::now()),
            Some(policy) => self.settling(&policy).closed(),
            None => {}
        }
    }

    fn settling(&mut self, policy: &str) -> &mut Settling<Digest> {
        let taken = self.taken.get(policy).copied().unwrap_or(NOTHING);
        let settling = self.files.entry(policy.to_owned());
        settling.or_insert_with(|| Settling::new(taken))
    }
}

/// The directory's files that are named like policies, in the order of their names.
fn named(directory: &Path) -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut named: Vec<(String, PathBuf)> = files
        .filter_map(|file| Some((policy_of(&file.path())?, file.path())))
        .collect();
    named.sort();
    named
}

/// `NAME` of `NAME.wasm`.
fn policy_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    is_name(name).then(|| name.to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > MAX_COMPONENT_BYTES {
        let size = metadata.len();
        return Err(format!(
            "{size} bytes; a policy has at most {MAX_COMPONENT_BYTES}"
        ));
    }
    fs::read(path).map_err(|error| error.to_string())
}

fn from_hexadecimal(text: &str) -> Option<Digest> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
