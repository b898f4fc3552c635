//! The components of a store: files named by their digests, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// Files that are being written.
const DRAFT: &str = "draft";
const WASM: &str = "wasm";

/// A directory of components.
#[derive(Debug)]
pub(super) struct Components(PathBuf);

impl Components {
    /// The components of the store in that directory.
    pub(super) fn of(store: &Path) -> Self {
        Self(store.join("components"))
    }

    /// Where they lie.
    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// Where the component with that digest lies, if it is there.
    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.0.join(digest).with_extension(WASM)
    }

    /// Writes a component so that a loss of power leaves it; its digest. One that is there already is
    /// written again only if its bytes are not right.
    pub(super) fn put(&self, bytes: &[u8]) -> io::Result<String> {
        let digest = HEXLOWER.encode(&Sha256::digest(bytes));
        let path = self.path(&digest);
        if fs::read(&path).is_ok_and(|present| present == bytes) {
            return Ok(digest);
        }
        let draft = self.0.join(&digest).with_extension(DRAFT);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&self.0)?.sync_all()?;
        Ok(digest)
    }

    /// Removes one that no version has any more.
    pub(super) fn remove(&self, digest: &str) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what is left of changes that were not completed: components that are not `wanted`.
    pub(super) fn sweep(&self, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            let is_left = match extension {
                Some(DRAFT) => true,
                Some(WASM) => !digest.is_some_and(&wanted),
                _ => false,
            };
            if is_left {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_lies_under_its_digest_and_what_nobody_wants_goes() {
        let directory = tempfile::tempdir().unwrap();
        let components = Components::of(directory.path());
        fs::create_dir(components.directory()).unwrap();
        let one = components.put(b"one").unwrap();
        let two = components.put(b"two").unwrap();
        assert_eq!(fs::read(components.path(&one)).unwrap(), b"one");
        fs::write(components.path(&one), b"broken").unwrap();
        assert_eq!(components.put(b"one").unwrap(), one);
        assert_eq!(fs::read(components.path(&one)).unwrap(), b"one");
        fs::write(components.directory().join("half.draft"), b"").unwrap();
        components.sweep(|digest| digest == one).unwrap();
        let left = fs::read_dir(components.directory()).unwrap().count();
        assert_eq!(left, 1);
        assert!(components.path(&one).is_file());
        components.remove(&one).unwrap();
        components.remove(&two).unwrap();
        assert!(!components.path(&one).exists());
    }
}
