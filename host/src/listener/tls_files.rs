//! The files that a listener's `tls` names, as they were at one moment.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use portcullis_config::ListenerTls;
use sha2::{Digest, Sha256};

use super::certificate::FileError;

/// A bundle of all public roots is a fifth of that; keeps a path such as `/dev/zero` from taking all memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// All of them.
pub(super) struct TlsFiles {
    pub(super) certificates: Vec<PairFiles>,
    pub(super) client_ca: Option<ReadFile>,
}

/// A certificate and its key.
pub(super) struct PairFiles {
    pub(super) certificate: ReadFile,
    pub(super) key: ReadFile,
}

/// One file's content, or why there is none.
pub(super) struct ReadFile {
    path: PathBuf,
    read: io::Result<Vec<u8>>,
}

impl TlsFiles {
    /// Reads all; what can't be read is for [`ReadFile::content`] to say.
    pub(super) fn read(configured: &ListenerTls) -> Self {
        let pairs = configured.certificates.iter().map(|pair| PairFiles {
            certificate: ReadFile::read(&pair.certificate),
            key: ReadFile::read(&pair.key),
        });
        let clients = configured.client_certificates.as_ref();
        Self {
            certificates: pairs.collect(),
            client_ca: clients.map(|clients| ReadFile::read(&clients.ca)),
        }
    }

    /// Differs when any content does.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for pair in &self.certificates {
            pair.certificate.add_to(&mut digest);
            pair.key.add_to(&mut digest);
        }
        if let Some(ca) = &self.client_ca {
            ca.add_to(&mut digest);
        }
        digest.finalize().into()
    }
}

impl ReadFile {
    fn read(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: read(path),
        }
    }

    /// The content, or the problem at `place`.
    pub(super) fn content(&self, place: &str) -> Result<&[u8], FileError> {
        self.read.as_deref().map_err(|error| FileError {
            place: place.to_owned(),
            message: format!("cannot read the file {}: {error}", self.path.display()),
        })
    }

    pub(super) fn add_to(&self, digest: &mut Sha256) {
        match &self.read {
            Ok(content) => {
                digest.update((content.len() as u64).to_be_bytes());
                digest.update(content);
            }
            Err(error) => {
                digest.update(u64::MAX.to_be_bytes());
                digest.update(error.to_string());
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 1 MiB",
        ));
    }
    Ok(content)
}
