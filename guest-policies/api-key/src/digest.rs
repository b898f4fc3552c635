//! Keys as their SHA-256: what lists and stores hold, so that who reads them has no key.

use std::fmt::Write;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a key in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(String);

impl Digest {
    /// Of a key's bytes.
    pub fn of(key: &str) -> Self {
        let mut digits = String::with_capacity(64);
        for byte in Sha256::digest(key.as_bytes()) {
            // Writing to a text does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether those are the digits, in either case. It takes the same time wherever they differ: a caller that
    /// learnt how far its key's hash agrees with one of the list could try out guesses of a weak key elsewhere.
    pub fn is(&self, digits: &str) -> bool {
        if digits.len() != self.0.len() {
            return false;
        }
        let pairs = self.0.bytes().zip(digits.bytes());
        let differing = pairs.fold(0, |differing, (ours, theirs)| {
            differing | (ours ^ theirs.to_ascii_lowercase())
        });
        std::hint::black_box(differing) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        // printf abc | sha256sum; FIPS 180-4's example.
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of("abc");
        assert_eq!(digest.as_str(), digits);
        assert!(digest.is(digits) && digest.is(&digits.to_uppercase()));
        assert!(!digest.is(&digits.replace("20015ad", "20015ae")));
        assert!(!digest.is(&digits[1..]) && !digest.is(""));
    }
}
