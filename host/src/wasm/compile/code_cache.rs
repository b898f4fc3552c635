//! Compiled policies between starts: one file for each, in a directory that belongs to this user alone.
//!
//! A file's name is a digest of all that its content depends on, and the content begins with a digest of that
//! name and the rest, so that a file that was cut, changed or renamed is told and made anew. Whoever can write to the
//! directory can have code run: that nobody else can is the caller's matter.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// What all files may take; the ones that were used last stay.
const MAX_BYTES: u64 = 512 << 20;
/// The extension of whole files.
const WHOLE: &str = "cwasm";
/// That of files that are being written, and its most that a writer takes.
const PARTIAL: &str = "partial";
const MAX_WRITING: Duration = Duration::from_secs(600);
const DIGEST_BYTES: usize = 32;

/// What an entry is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; DIGEST_BYTES]);

/// The directory.
#[derive(Debug)]
pub(super) struct CodeCache {
    directory: PathBuf,
    max_bytes: u64,
    written: AtomicU64,
}

impl Key {
    /// Of these parts, in this order.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl CodeCache {
    /// The cache in that directory, which is there.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            max_bytes: MAX_BYTES,
            written: AtomicU64::new(0),
        }
    }

    /// What was put under that key, whole.
    pub(super) fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut bytes = fs::read(&path).ok()?;
        let (digest, content) = bytes.split_first_chunk::<DIGEST_BYTES>()?;
        if *digest != seal(key, content) {
            tracing::warn!("{}: not as it was written; compiled anew", path.display());
            return None;
        }
        // It is used, so that others go first. Where that can't be noted it goes earlier.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        bytes.drain(..DIGEST_BYTES);
        Some(bytes)
    }

    /// Keeps `content`; where that can't be done, the log says so.
    pub(super) fn put(&self, key: &Key, content: &[u8]) {
        let kept = self.write(key, content).and_then(|()| self.make_room());
        if let Err(error) = kept {
            let place = self.directory.display();
            tracing::warn!("compiled policies are not kept: {place}: {error}");
        }
    }

    /// Written aside and renamed: a file under its name is whole, whoever stops this process.
    fn write(&self, key: &Key, content: &[u8]) -> io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}.{PARTIAL}", std::process::id());
        let aside = self.directory.join(name);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        let written = file
            .write_all(&seal(key, content))
            .and_then(|()| file.write_all(content))
            .and_then(|()| fs::rename(&aside, self.path(key)));
        if written.is_err() {
            // The error is told; a file that is left is removed by a later `make_room`.
            let _ = fs::remove_file(&aside);
        }
        written
    }

    /// Removes what was used longest ago until the rest is small enough, and what nobody writes any more.
    fn make_room(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            // Another process may have removed it.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let modified = metadata.modified()?;
            if has_extension(&path, WHOLE) {
                files.push((modified, metadata.len(), path));
            } else if has_extension(&path, PARTIAL)
                && now
                    .duration_since(modified)
                    .is_ok_and(|age| age > MAX_WRITING)
            {
                let _ = fs::remove_file(path);
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.max_bytes {
                break;
            }
            let _ = fs::remove_file(path);
            bytes -= length;
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = HEXLOWER.encode(&key.0);
        self.directory.join(name).with_extension(WHOLE)
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension == wanted)
}

fn seal(key: &Key, content: &[u8]) -> [u8; DIGEST_BYTES] {
    Key::of(&[&key.0, content]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, CodeCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(directory.path().to_owned());
        (directory, cache)
    }

    #[test]
    fn what_was_put_is_got_under_its_key_alone() {
        let (_directory, cache) = cache();
        let (one, other) = (Key::of(&[b"a", b"b"]), Key::of(&[b"ab", b""]));
        cache.put(&one, b"code");
        assert_eq!(cache.get(&one).unwrap(), b"code");
        assert_eq!(cache.get(&other), None);
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_no_answer() {
        let (_directory, cache) = cache();
        let (key, other) = (Key::of(&[b"a"]), Key::of(&[b"b"]));
        cache.put(&key, b"code");
        fs::rename(cache.path(&key), cache.path(&other)).unwrap();
        assert_eq!(cache.get(&other), None, "renamed");
        cache.put(&key, b"code");
        let whole = fs::read(cache.path(&key)).unwrap();
        for length in 0..whole.len() {
            fs::write(cache.path(&key), &whole[..length]).unwrap();
            assert_eq!(cache.get(&key), None, "cut to {length}");
        }
        let mut changed = whole;
        *changed.last_mut().unwrap() ^= 1;
        fs::write(cache.path(&key), changed).unwrap();
        assert_eq!(cache.get(&key), None, "changed");
        cache.put(&key, b"code");
        assert_eq!(cache.get(&key).unwrap(), b"code");
    }

    #[test]
    fn the_file_that_was_used_longest_ago_goes_first() {
        let (directory, mut cache) = cache();
        cache.max_bytes = 3 * (DIGEST_BYTES as u64 + 10);
        let keys = [b"a", b"b", b"c", b"d"].map(|name| Key::of(&[name]));
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        for (age, key) in keys[..3].iter().enumerate() {
            cache.put(key, &[0; 10]);
            let file = File::open(cache.path(key)).unwrap();
            file.set_modified(long_ago + Duration::from_secs(age as u64))
                .unwrap();
        }
        assert!(cache.get(&keys[0]).is_some());
        fs::write(directory.path().join("foreign"), [0; 1000]).unwrap();
        cache.put(&keys[3], &[0; 10]);
        let kept = keys.map(|key| cache.get(&key).is_some());
        assert_eq!(kept, [true, false, true, true]);
        assert!(directory.path().join("foreign").exists());
    }

    #[test]
    fn what_nobody_writes_any_more_is_removed() {
        let (directory, cache) = cache();
        let left = directory.path().join("1-0.partial");
        let writing = directory.path().join("1-1.partial");
        for path in [&left, &writing] {
            fs::write(path, b"half").unwrap();
        }
        let long_ago = SystemTime::now() - 2 * MAX_WRITING;
        File::open(&left).unwrap().set_modified(long_ago).unwrap();
        cache.put(&Key::of(&[b"a"]), b"code");
        assert!(!left.exists() && writing.exists());
    }
}
