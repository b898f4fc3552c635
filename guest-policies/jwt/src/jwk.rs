//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2): public ones only.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::key::Key;

/// A public key as JSON. Members that are not named here are ignored, as RFC 7517 §4 has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Jwk {
    kty: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_ops: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// Of a private key.
    #[serde(skip_serializing)]
    d: Option<IgnoredAny>,
}

impl Jwk {
    /// Its name, by which tokens tell which key it was.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that it is for, if it says one.
    ///
    /// # Errors
    ///
    /// If it is one that is not known, so that the key can't be used.
    pub fn algorithm(&self) -> Result<Option<Algorithm>, String> {
        let named = |name: &String| {
            Algorithm::from_name(name).ok_or_else(|| format!("has an unknown alg \"{name}\""))
        };
        self.alg.as_ref().map(named).transpose()
    }

    /// The key itself.
    ///
    /// # Errors
    ///
    /// What keeps it from being used: its type, its purpose, a missing or bad member, too few bits.
    pub fn key(&self) -> Result<Key, String> {
        if self.d.is_some() {
            return Err(
                "holds a private key: leave out `d` and the other private members".to_owned(),
            );
        }
        if self
            .purpose
            .as_ref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Err("has a `use` other than \"sig\"".to_owned());
        }
        let may_verify = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
        if self
            .key_ops
            .as_ref()
            .is_some_and(|operations| !may_verify(operations))
        {
            return Err("has `key_ops` without \"verify\"".to_owned());
        }
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&octets("n", &self.n)?, &octets("e", &self.e)?),
            ("EC", Some("P-256")) => Key::p256(&self.point(32)?),
            ("EC", Some("P-384")) => Key::p384(&self.point(48)?),
            ("OKP", Some("Ed25519")) => Key::ed25519(&octets("x", &self.x)?),
            ("oct", _) => {
                Err("holds a secret: name a secret instead, which no config shows".to_owned())
            }
            (kty, curve) => Err(format!(
                "is of kty \"{kty}\" and crv \"{}\": RSA, EC with P-256 or P-384 and OKP with Ed25519 are known",
                curve.unwrap_or_default()
            )),
        }
    }

    /// In SEC 1's uncompressed form. Coordinates have their full length (RFC 7518 §6.2.1.2).
    fn point(&self, bytes: usize) -> Result<Vec<u8>, String> {
        let (x, y) = (octets("x", &self.x)?, octets("y", &self.y)?);
        if x.len() != bytes || y.len() != bytes {
            return Err(format!("has coordinates of other than {bytes} bytes"));
        }
        Ok([&[4], x.as_slice(), y.as_slice()].concat())
    }
}

fn octets(name: &str, member: &Option<String>) -> Result<Vec<u8>, String> {
    let text = member.as_ref().ok_or_else(|| format!("has no `{name}`"))?;
    Base64UrlUnpadded::decode_vec(text).map_err(|_| format!("has an `{name}` that is no base64url"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(jwk: serde_json::Value) -> String {
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        jwk.key().unwrap_err()
    }

    #[test]
    fn a_key_that_is_not_for_signatures_or_not_known_is_refused() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8037, appendix A.2
        for (jwk, message) in [
            (
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc" }),
                "`use`",
            ),
            (
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["sign"] }),
                "key_ops",
            ),
            (
                json!({ "kty": "OKP", "crv": "X25519", "x": x }),
                "are known",
            ),
            (json!({ "kty": "OKP", "crv": "Ed25519" }), "no `x`"),
            (
                json!({ "kty": "OKP", "crv": "Ed25519", "x": "a+b" }),
                "no base64url",
            ),
            (
                json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }),
                "Ed25519",
            ),
            (
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": "AA" }),
                "32 bytes",
            ),
            (
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x }),
                "no point",
            ),
            (
                json!({ "kty": "EC", "crv": "secp256k1", "x": x, "y": x }),
                "are known",
            ),
            (
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": x }),
                "private key",
            ),
            (json!({ "kty": "oct", "k": x }), "secret"),
            (json!({ "kty": "RSA", "n": x, "e": "AQAB" }), "2048"),
        ] {
            let problem = problem(jwk.clone());
            assert!(problem.contains(message), "{jwk}: {problem}");
        }
    }

    #[test]
    fn the_point_of_order_one_is_no_key() {
        let identity = Base64UrlUnpadded::encode_string(&{
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        });
        let problem = problem(json!({ "kty": "OKP", "crv": "Ed25519", "x": identity }));
        assert!(problem.contains("no key for Ed25519"), "{problem}");
    }
}
