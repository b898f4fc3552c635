//! Finds the key of a token and says whether the signature is its.

use crate::config::Encoding;
use crate::jwks::{Jwks, World};
use crate::key::Key;
use crate::refusal::{Invalid, Refusal};
use crate::secret;
use crate::token::Token;
use crate::trusted::Trust;

/// Signatures that are tried for one token, where it does not name its key: a bound on a request's work.
const MAX_TRIED: usize = 8;

/// A key of the config.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What it is trusted for.
    pub trust: Trust,
    /// The key, or where it is.
    pub material: Material,
}

/// A key, or where it is.
#[derive(Clone, Debug)]
pub enum Material {
    /// The key.
    Key(Key),
    /// A secret's name and how it is written: secrets are there for requests only, never in a config that is kept.
    Secret {
        /// Its name.
        name: String,
        /// How it is written.
        encoding: Encoding,
    },
}

/// What is around: the secrets beside what key sets need.
pub trait Surroundings: World {
    /// The text of a secret, if it is granted and there.
    fn secret(&self, name: &str) -> Option<String>;
}

/// The keys of one use.
#[derive(Debug)]
pub struct Verifier {
    /// Those of the config.
    pub keys: Vec<Configured>,
    /// Those of issuers.
    pub jwks: Vec<Jwks>,
}

impl Verifier {
    /// Whether one of the keys has signed the token.
    ///
    /// # Errors
    ///
    /// `Invalid` if none has, `Unavailable` if nobody can tell.
    pub fn verify(&self, token: &Token, around: &impl Surroundings) -> Result<(), Refusal> {
        let mut tried = 0;
        let mut problem = None;
        for configured in self.keys.iter().filter(|key| key.trust.covers(token)) {
            match configured.material.key(token, around) {
                Ok(key) if tries(&key, token, &mut tried) => return Ok(()),
                Ok(_) => {}
                Err(error) => problem = Some(error),
            }
        }
        for jwks in self.jwks.iter().filter(|jwks| jwks.may_cover(token)) {
            match jwks.candidates(token, around) {
                Ok(candidates) => {
                    for (_, key) in candidates {
                        if tries(&key, token, &mut tried) {
                            return Ok(());
                        }
                    }
                }
                Err(error) => problem = Some(format!("{}{}: {error}", jwks.upstream, jwks.path)),
            }
        }
        // Only keys that could be had have said no.
        match problem {
            Some(problem) => Err(Refusal::Unavailable(problem)),
            None if tried == 0 => Err(Invalid("no key is known for the token").into()),
            None => Err(Invalid("the token's signature does not hold").into()),
        }
    }
}

fn tries(key: &Key, token: &Token, tried: &mut usize) -> bool {
    *tried += 1;
    *tried <= MAX_TRIED && key.verifies(token.algorithm, token.signed(), token.signature())
}

impl Material {
    fn key(&self, token: &Token, around: &impl Surroundings) -> Result<Key, String> {
        match self {
            Self::Key(key) => Ok(key.clone()),
            Self::Secret { name, encoding } => {
                let text = around.secret(name).ok_or_else(|| {
                    format!(
                        "secret {name}: is not there or not granted: add it to `grants.secrets`"
                    )
                })?;
                let least = token.algorithm.least_secret_bytes();
                secret::key(&text, *encoding, least)
                    .map_err(|error| format!("secret {name}: {error}"))
            }
        }
    }
}
