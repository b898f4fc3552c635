//! Notices when the config's file, or one that it names, has changed and come to rest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::settling::{Next, Settling};
use super::sight::{Content, Eye, Sight};
use super::watcher::{Change, Watcher};

/// How often files are looked at anyway: a watch does not see all (a directory that was renamed and made
/// anew, a network's file system).
const POLL: Duration = Duration::from_secs(5);
/// The same where the kernel does not tell of changes.
const POLL_UNWATCHED: Duration = Duration::from_secs(1);
/// Pause between two looks: a storm of changes makes few.
const PAUSE: Duration = Duration::from_millis(50);

/// Watches the files of one config.
pub struct FileWatch {
    config: PathBuf,
    eye: Eye,
    watcher: Watcher,
    settling: Settling<Content>,
    /// The files of the last look, which tell which directories to watch.
    last: Sight,
    /// The text that serves.
    serving: String,
    due: Instant,
}

impl FileWatch {
    /// Watches the config at `path`, and looks at it as it is before it is read.
    pub fn start(path: &Path) -> Self {
        let mut eye = Eye::default();
        let last = eye.look(path);
        Self {
            config: path.to_owned(),
            eye,
            watcher: Watcher::new(),
            settling: Settling::new(last.content.clone()),
            serving: last.text.clone().unwrap_or_default(),
            last,
            due: Instant::now(),
        }
    }

    /// The files as they are now, which the caller reads whether they have come to rest or not.
    pub fn look(&mut self) -> Sight {
        self.last = self.eye.look(&self.config);
        self.settling.was_read(self.last.content.clone());
        self.last.clone()
    }

    /// That text serves now.
    pub fn serves(&mut self, text: &str) {
        text.clone_into(&mut self.serving);
    }

    /// The files, when they have changed and come to rest. Nothing is lost if this is dropped.
    pub async fn rested(&mut self) -> Sight {
        loop {
            // Watched first, looked at then: no change falls in between.
            let watched = self.watcher.watch(&self.last.directories(&self.config));
            tokio::select! {
                change = self.watcher.changed() => self.note(change),
                () = tokio::time::sleep_until(self.due.into()) => {}
            }
            tokio::time::sleep(PAUSE).await;
            while let Some(change) = self.watcher.also_changed() {
                self.note(change);
            }
            self.last = self.eye.look(&self.config);
            let now = Instant::now();
            let is_shortened = self.last.is_shortened(&self.serving);
            let poll = now + if watched { POLL } else { POLL_UNWATCHED };
            match self.settling.look(now, &self.last.content, is_shortened) {
                Next::Read => {
                    self.due = poll;
                    return self.last.clone();
                }
                Next::LookAt(due) => self.due = due.min(poll),
                Next::Wait => self.due = poll,
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Written(path) if self.is_ours(&path) => self.settling.written(Instant::now()),
            Change::Other(path) if self.is_ours(&path) => self.settling.closed(),
            _ => {}
        }
    }

    /// By its name alone: a path can be written in many ways.
    fn is_ours(&self, path: &Path) -> bool {
        let mut files = self.last.named.iter().chain([&self.config]);
        files.any(|file| file.file_name() == path.file_name())
    }
}
