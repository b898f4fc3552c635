//! A key that verifies signatures, whatever it was written in: it fixes the family of algorithms.

use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Verifier;
use rsa::BoxedUint;
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::{self, Algorithm};

/// Bits of an RSA modulus. Below: refused by RFC 7518 §3.3. Above: the time of a signature grows with the square.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key with its material checked.
#[derive(Clone, Debug)]
pub enum Key {
    /// A shared secret.
    Hmac(Vec<u8>),
    /// A modulus of 2048 to 4096 bits.
    Rsa(Box<rsa::PublicKey>),
    /// A point on P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// A point on P-384.
    P384(Box<p384::ecdsa::VerifyingKey>),
    /// A point on edwards25519.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl Key {
    /// From a modulus and an exponent, big-endian.
    ///
    /// # Errors
    ///
    /// What is wrong with them, such as too few bits.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let modulus = BoxedUint::from_be_slice_vartime(modulus);
        let bits = modulus.bit_width_vartime() as usize;
        if !RSA_BITS.contains(&bits) {
            return Err(rsa_size(bits));
        }
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let key = rsa::PublicKey::new_with_size_limits(modulus, exponent, RSA_BITS);
        key.map(|key| Self::Rsa(Box::new(key)))
            .map_err(|error| format!("is no RSA key: {error}"))
    }

    /// From a point as SEC 1 encodes it.
    ///
    /// # Errors
    ///
    /// If it is not on the curve.
    pub fn p256(point: &[u8]) -> Result<Self, String> {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
        key.map(|key| Self::P256(Box::new(key)))
            .map_err(|_| "is no point on P-256".to_owned())
    }

    /// As [`Key::p256`].
    ///
    /// # Errors
    ///
    /// If it is not on the curve.
    pub fn p384(point: &[u8]) -> Result<Self, String> {
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point);
        key.map(|key| Self::P384(Box::new(key)))
            .map_err(|_| "is no point on P-384".to_owned())
    }

    /// From the 32 bytes of RFC 8032 §5.1.2.
    ///
    /// # Errors
    ///
    /// If it is not on the curve, or one of the few points that make any signature pass.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, String> {
        let key = <&[u8; 32]>::try_from(bytes)
            .ok()
            .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok());
        match key {
            Some(key) if !key.is_weak() => Ok(Self::Ed25519(Box::new(key))),
            _ => Err("is no key for Ed25519".to_owned()),
        }
    }

    /// What this key can verify. An HMAC key is none for a public key's algorithms, nor the other way round: so a
    /// token can't choose to have a public key taken as a secret (RFC 8725 §2.1).
    pub const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Hmac(_) => algorithm::HMAC,
            Self::Rsa(_) => algorithm::RSA,
            Self::P256(_) => algorithm::P256,
            Self::P384(_) => algorithm::P384,
            Self::Ed25519(_) => algorithm::ED25519,
        }
    }

    /// Whether `signature` over `message` is this key's by that algorithm; never by one of another kind of key.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(secret) => hmac(secret, algorithm, message, signature),
            Self::Rsa(key) => rsa(key, algorithm, message, signature),
            Self::P256(key) => {
                algorithm == Algorithm::Es256
                    && p256::ecdsa::Signature::from_slice(signature)
                        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::P384(key) => {
                algorithm == Algorithm::Es384
                    && p384::ecdsa::Signature::from_slice(signature)
                        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::Ed25519(key) => {
                algorithm == Algorithm::EdDsa
                    && ed25519_dalek::Signature::from_slice(signature)
                        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
        }
    }
}

fn rsa_size(bits: usize) -> String {
    let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
    format!("is an RSA key of {bits} bits; {least} to {most} are taken: make another")
}

fn hmac(secret: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    /// In constant time, which is `verify_slice`'s contract.
    fn is_mac<M: Mac + KeyInit>(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
        <M as KeyInit>::new_from_slice(secret)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
    }
    match algorithm {
        Algorithm::Hs256 => is_mac::<Hmac<Sha256>>(secret, message, signature),
        Algorithm::Hs384 => is_mac::<Hmac<Sha384>>(secret, message, signature),
        Algorithm::Hs512 => is_mac::<Hmac<Sha512>>(secret, message, signature),
        _ => false,
    }
}

fn rsa(key: &rsa::PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match algorithm {
        Algorithm::Rs256 => key.pkcs1v15_verify::<Sha256>(message, signature),
        Algorithm::Rs384 => key.pkcs1v15_verify::<Sha384>(message, signature),
        Algorithm::Rs512 => key.pkcs1v15_verify::<Sha512>(message, signature),
        Algorithm::Ps256 => key.pss_verify::<Sha256>(message, signature),
        Algorithm::Ps384 => key.pss_verify::<Sha384>(message, signature),
        Algorithm::Ps512 => key.pss_verify::<Sha512>(message, signature),
        _ => return false,
    }
    .is_ok()
}
