//! A component that was found to be a policy.

use data_encoding::HEXLOWER;

use super::Phase;
use super::compile::compiler::Source;
use super::description::{Description, Manifest};

/// A component that was found to be a policy.
pub struct PolicyComponent {
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file.
    pub size_bytes: usize,
    /// The hooks that it exports, in the order of a request's life.
    pub hooks: Vec<Phase>,
    /// What it is and says of itself.
    pub description: Description,
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

impl PolicyComponent {
    /// The component with these bytes, of that digest, as it was described. The error says why it is no policy.
    pub fn new(bytes: Vec<u8>, sha256: [u8; 32], description: Description) -> Result<Self, String> {
        Ok(Self {
            digest: HEXLOWER.encode(&sha256),
            size_bytes: bytes.len(),
            hooks: description.interfaces.hooks()?,
            description,
            bytes,
            sha256,
        })
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.description.manifest
    }

    /// Interfaces that it imports, as written.
    pub fn imports(&self) -> impl Iterator<Item = &String> {
        let imports = self.description.interfaces.imports.iter();
        imports.map(|(name, _)| name)
    }

    /// Capabilities that it imports and that need a grant, by their config names.
    pub fn capabilities(&self) -> Vec<&'static str> {
        self.description.interfaces.capabilities()
    }

    /// For making uses of it ready.
    pub fn source(&self) -> Source<'_> {
        Source {
            bytes: &self.bytes,
            digest: self.sha256,
            description: Some(&self.description),
        }
    }
}
