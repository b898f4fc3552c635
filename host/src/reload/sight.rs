//! What a look at the config's file and the files that it names has found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_config::ConfigErrors;
use sha2::{Digest as _, Sha256};

/// The rest of a larger file is not looked at; nothing that a config names may be so large.
const MAX_FILE_BYTES: u64 = 65 << 20;
/// A file whose times are younger may change without changing them: file systems' clocks tick slowly.
const SURELY_OLD: Duration = Duration::from_secs(2);

/// SHA-256 of a file.
pub(crate) type Digest = [u8; 32];

/// The files as they were at one moment.
#[derive(Clone)]
pub struct Sight {
    /// The config's text, or why it can't be read.
    pub(crate) text: Result<String, ConfigErrors>,
    /// Of the config's file and the named ones.
    pub(crate) content: Content,
    /// The files that the text names.
    pub(crate) named: BTreeSet<PathBuf>,
}

/// Digests; equal when nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    config: Digest,
    /// Of the files that the config names.
    pub(crate) named: Digest,
}

/// Looks at files, and reads only those whose times say that they may have changed.
#[derive(Default)]
pub(crate) struct Eye {
    known: BTreeMap<PathBuf, (Stamp, Digest)>,
}

/// What changes when a file does.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Eye {
    /// Looks at the config at `path` and the files that it names.
    pub(crate) fn look(&mut self, path: &Path) -> Sight {
        let text = portcullis_config::read(path);
        let base = path.parent().unwrap_or(Path::new(""));
        let (config, named) = match &text {
            Ok(text) => (
                Sha256::digest(text).into(),
                portcullis_config::named_files(text, base),
            ),
            Err(errors) => (Sha256::digest(errors.to_string()).into(), BTreeSet::new()),
        };
        let mut all = Sha256::new();
        for path in &named {
            all.update(path.as_os_str().as_encoded_bytes());
            all.update(self.digest(path).unwrap_or_else(|error| unreadable(&error)));
        }
        self.known.retain(|path, _| named.contains(path));
        Sight {
            text,
            content: Content {
                config,
                named: all.finalize().into(),
            },
            named,
        }
    }

    /// Of the file's content.
    pub(crate) fn digest(&mut self, path: &Path) -> io::Result<Digest> {
        let metadata = fs::metadata(path)?;
        // To open a pipe would be to wait for who writes to it.
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stamp = Stamp::of(&metadata);
        if let Some((known, digest)) = self.known.get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = read_digest(path)?;
        if stamp.is_surely_old(SystemTime::now()) {
            self.known.insert(path.to_owned(), (stamp, digest));
        }
        Ok(digest)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_surely_old(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = now.saturating_sub(SURELY_OLD).as_secs();
        let changed = self.changed.0.max(self.modified.0);
        u64::try_from(changed).is_ok_and(|changed| changed < old)
    }
}

fn unreadable(error: &io::Error) -> Digest {
    Sha256::digest(error.kind().to_string()).into()
}

fn read_digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?.take(MAX_FILE_BYTES);
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            count => digest.update(&buffer[..count]),
        }
    }
}

impl Sight {
    /// Whether the text is the beginning of `serving`, and not all of it.
    pub(crate) fn is_shortened(&self, serving: &str) -> bool {
        let text = self.text.as_deref();
        text.is_ok_and(|text| text.len() < serving.len() && serving.starts_with(text))
    }

    /// Directories in which a change of one of the files shows: where they are named, and where they
    /// lie when those are links.
    pub(crate) fn directories(&self, config: &Path) -> BTreeSet<PathBuf> {
        let files = self.named.iter().map(PathBuf::as_path).chain([config]);
        files
            .flat_map(|file| [Some(file.to_owned()), file.canonicalize().ok()])
            .flatten()
            .filter_map(|file| match file.parent() {
                Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
                parent => parent.map(Path::to_owned),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_changes_with_the_config_and_with_what_it_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        let mut eye = Eye::default();
        let missing = eye.look(&path);
        assert!(missing.text.is_err());
        fs::write(&path, "policies: { p: { component: 'file:p.wasm' } }").unwrap();
        let unnamed = eye.look(&path);
        assert_ne!(missing.content, unnamed.content);
        assert_eq!(unnamed.named, [directory.path().join("p.wasm")].into());
        fs::write(directory.path().join("p.wasm"), "1").unwrap();
        let first = eye.look(&path);
        assert_ne!(unnamed.content.named, first.content.named);
        assert_eq!(first.content, eye.look(&path).content);
        fs::write(directory.path().join("p.wasm"), "2").unwrap();
        assert_ne!(first.content, eye.look(&path).content);
        assert!(first.is_shortened("policies: { p: { component: 'file:p.wasm' } } # more"));
        assert!(!first.is_shortened("policies: { p: { component: 'file:p.wasm' } }"));
    }
}
