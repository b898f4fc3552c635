//! The journal's file: one line for each change, read on from where it was left, appended under a lock.
//!
//! A line without its end is a change that was not completed: it is not read, and the next one takes its
//! place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::entry::{Entry, GENESIS};

/// A place in a journal: after an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    offset: u64,
    number: u64,
    hash: String,
}

/// Why a journal can't be read or written. All texts name the file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line is none of the chain.
    #[error("{}:{line}: {message}; restore the file from a backup, or move the store's directory away and push again", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// There is less in it than was read before.
    #[error("{}: it has been cut since the gateway read it; restore it from a backup", .path.display())]
    Cut {
        /// The file.
        path: PathBuf,
    },
}

/// The file, locked: nobody else appends while it lives.
#[derive(Debug)]
pub(super) struct LockedJournal {
    file: File,
    path: PathBuf,
}

impl Position {
    /// Before the first entry.
    pub fn start() -> Self {
        Self {
            offset: 0,
            number: 0,
            hash: GENESIS.to_owned(),
        }
    }

    /// Number and hash of the entry before.
    pub(super) fn last(&self) -> (u64, &str) {
        (self.number, &self.hash)
    }
}

/// The whole lines from `position` on, and the place after them. A file that is not there has none.
pub fn read(path: &Path, position: &Position) -> Result<(Vec<Entry>, Position), JournalError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(position.offset))?;
        file.read_to_end(&mut text)?;
        Ok(length)
    });
    let length = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        read => read.map_err(|source| file_error(path, source))?,
    };
    if length < position.offset {
        return Err(JournalError::Cut { path: path.into() });
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n');
    let whole = &text[..whole.map_or(0, |end| end + 1)];
    let mut at = position.clone();
    let mut entries = Vec::new();
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let entry = entry(line, &at).map_err(|message| JournalError::Line {
            path: path.into(),
            line: at.number + 1,
            message,
        })?;
        at = at.after(&entry, line.len());
        entries.push(entry);
    }
    Ok((entries, at))
}

fn entry(line: &[u8], at: &Position) -> Result<Entry, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| "the line is no text".to_owned())?;
    Entry::read(text, at.last()).map_err(|error| error.to_string())
}

impl Position {
    fn after(&self, entry: &Entry, bytes: usize) -> Self {
        Self {
            offset: self.offset + bytes as u64,
            number: entry.number,
            hash: entry.hash.clone(),
        }
    }
}

impl LockedJournal {
    /// Makes the file if it is missing. `None`: somebody else has it locked.
    pub(super) fn try_open(path: &Path) -> Result<Option<Self>, JournalError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options
            .open(path)
            .map_err(|source| file_error(path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                file,
                path: path.into(),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(file_error(path, source)),
        }
    }

    /// Appends an entry at `position`, which is after the last one, so that a loss of power leaves it.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        position: &Position,
    ) -> Result<Position, JournalError> {
        let line = entry.line();
        let written = self.cut(position).and_then(|()| {
            self.file.write_all(line.as_bytes())?;
            self.file.sync_all()
        });
        match written {
            Ok(()) => Ok(position.after(entry, line.len())),
            Err(source) => {
                // A line of which a part is written has no end; cut or not, nobody reads it.
                let _ = self.cut(position);
                Err(file_error(&self.path, source))
            }
        }
    }

    /// Removes what is left after the last entry of a change that was not completed.
    fn cut(&mut self, position: &Position) -> io::Result<()> {
        if self.file.metadata()?.len() > position.offset {
            tracing::warn!(
                "{}: its last line is not whole and goes: the change was not completed",
                self.path.display()
            );
            self.file.set_len(position.offset)?;
        }
        self.file.seek(SeekFrom::Start(position.offset)).map(drop)
    }
}

fn file_error(path: &Path, source: io::Error) -> JournalError {
    JournalError::File {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::entry::{Action, Actor};
    use super::*;

    fn append(path: &Path, position: &Position, version: u64) -> Position {
        let mut locked = LockedJournal::try_open(path).unwrap().unwrap();
        let action = Action::Activate { version };
        let entry = Entry::after(
            position.last(),
            UNIX_EPOCH,
            Actor::gateway(),
            "auth",
            action,
            "",
        );
        locked.append(&entry, position).unwrap()
    }

    fn versions(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.action.version()).collect()
    }

    #[test]
    fn what_is_appended_is_read_on_from_where_it_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let start = Position::start();
        assert_eq!(read(&path, &start).unwrap(), (Vec::new(), start.clone()));
        let one = append(&path, &start, 1);
        let two = append(&path, &one, 2);
        let (entries, end) = read(&path, &start).unwrap();
        assert_eq!((versions(&entries), &end), (vec![1, 2], &two));
        let (entries, end) = read(&path, &one).unwrap();
        assert_eq!((versions(&entries), &end), (vec![2], &two));
    }

    #[test]
    fn a_change_that_was_not_completed_is_not_read_and_the_next_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let one = append(&path, &Position::start(), 1);
        append(&path, &one, 2);
        let whole = std::fs::read(&path).unwrap();
        let first = usize::try_from(one.offset).unwrap();
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (entries, end) = read(&path, &Position::start()).unwrap();
            assert_eq!((versions(&entries), &end), (vec![1], &one), "{cut}");
            append(&path, &end, 3);
            let (entries, _) = read(&path, &Position::start()).unwrap();
            assert_eq!(versions(&entries), [1, 3], "{cut}");
        }
    }

    #[test]
    fn lines_that_were_changed_removed_or_cut_off_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut end = Position::start();
        for version in 1..=3 {
            end = append(&path, &end, version);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let refused = |text: String, from: &Position| {
            std::fs::write(&path, text).unwrap();
            read(&path, from).unwrap_err().to_string()
        };
        let start = Position::start();
        let error = refused(text.replace("\"version\":2", "\"version\":3"), &start);
        assert!(
            error.contains("journal.jsonl:2: the line has been changed"),
            "{error}"
        );
        let error = refused([lines[0], lines[2]].concat(), &start);
        assert!(
            error.contains(":2: the line does not follow the one before"),
            "{error}"
        );
        let error = refused([lines[0], "\n", lines[1]].concat(), &start);
        assert!(error.contains(":2: the line has been changed"), "{error}");
        let error = refused(lines[0].to_owned(), &end);
        assert!(error.contains("it has been cut"), "{error}");
    }

    #[test]
    fn nobody_else_appends_while_it_is_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let locked = LockedJournal::try_open(&path).unwrap().unwrap();
        assert!(LockedJournal::try_open(&path).unwrap().is_none());
        drop(locked);
        assert!(LockedJournal::try_open(&path).unwrap().is_some());
    }
}
