//! Public keys in PEM: `PUBLIC KEY` (RFC 5280's SubjectPublicKeyInfo) and `RSA PUBLIC KEY` (PKCS #1).

use rsa::pkcs1::{self, der::Decode};
use spki::der::Document;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::key::Key;

/// rsaEncryption (RFC 3279 §2.3.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey with its named curves (RFC 5480 §2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// id-Ed25519 (RFC 8410 §3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Reads one public key.
///
/// # Errors
///
/// What it is instead, and what would do.
pub fn key(pem: &str) -> Result<Key, String> {
    // A config's text may be indented and end with blank lines.
    let pem: String = pem
        .trim()
        .lines()
        .flat_map(|line| [line.trim(), "\n"])
        .collect();
    let (label, der) = Document::from_pem(&pem).map_err(|error| {
        format!("is no PEM: {error}; it begins with -----BEGIN PUBLIC KEY-----")
    })?;
    match label {
        "PUBLIC KEY" => subject_public_key(der.as_bytes()),
        "RSA PUBLIC KEY" => rsa_public_key(der.as_bytes()),
        label => Err(format!(
            "holds a {label}: a public key is wanted, as `openssl pkey -pubout` writes it"
        )),
    }
}

fn subject_public_key(der: &[u8]) -> Result<Key, String> {
    let info = SubjectPublicKeyInfoRef::from_der(der)
        .map_err(|error| format!("is no public key: {error}"))?;
    let bits = info.subject_public_key.raw_bytes();
    let curve = info.algorithm.parameters_oid().ok();
    match (info.algorithm.oid, curve) {
        (RSA, _) => rsa_public_key(bits),
        (EC, Some(P256)) => Key::p256(bits),
        (EC, Some(P384)) => Key::p384(bits),
        (ED25519, _) => Key::ed25519(bits),
        (oid, _) => Err(format!(
            "is a key of another kind ({oid}): RSA, P-256, P-384 and Ed25519 are known"
        )),
    }
}

fn rsa_public_key(der: &[u8]) -> Result<Key, String> {
    let key =
        pkcs1::RsaPublicKeyRef::from_der(der).map_err(|error| format!("is no RSA key: {error}"))?;
    Key::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
}
