//! Stands in this workspace for the crate `getrandom` 0.3, which asks JavaScript for random bits on this target; a policy asks the gateway.
//!
//! Only ahash, a part of jsonschema, uses it, for the seeds of its maps. During `configure` the gateway's bits are 0, so the seeds that a
//! snapshot holds are the same everywhere: `max_size` and `limits.time` bound what names that are made to collide can cost. Nothing
//! that must be kept from guessing may use this crate.

use std::fmt;

/// There are always random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {}

impl fmt::Display for Error {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Error {}

/// Fills `bytes`.
///
/// # Errors
///
/// None.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

#[cfg(target_arch = "wasm32")]
fn next() -> u64 {
    portcullis_sdk::random::next()
}

/// For tests: the standard library's seeds, which differ from call to call.
#[cfg(not(target_arch = "wasm32"))]
fn next() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_filled() {
        let mut bytes = [0; 21];
        let mut seen = [false; 21];
        for _ in 0..64 {
            fill(&mut bytes).unwrap_or_else(|never| match never {});
            bytes
                .iter()
                .zip(&mut seen)
                .for_each(|(byte, seen)| *seen |= *byte != 0);
        }
        assert_eq!(seen, [true; 21]);
    }
}
