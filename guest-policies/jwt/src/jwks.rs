//! Keys that an issuer publishes (RFC 7517 §5): fetched when they are needed, kept for a while.
//!
//! The store and the way to the issuer come from outside, so that all of it can be tried with a clock that stands.

use serde::Deserialize;

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;
use crate::key::Key;
use crate::token::Token;
use crate::trusted::{self, Trust};

/// After a fetch that has failed nobody tries again for so long.
const FAILED_MS: u32 = 1_000;
/// Keys of one set: more are not looked at.
const MAX_KEYS: usize = 64;

/// Where keys are fetched, and what they are trusted for.
#[derive(Clone, Debug)]
pub struct Jwks {
    /// The upstream that publishes them.
    pub upstream: String,
    /// The path there.
    pub path: String,
    /// The only issuer that they are trusted for, if one is named.
    pub issuer: Option<String>,
    /// The only algorithms that they are used with.
    pub algorithms: Vec<Algorithm>,
    /// How long they are kept without being fetched again.
    pub cache_ms: u32,
    /// How much longer they are used while fetching fails.
    pub stale_ms: u32,
    /// How often they are fetched at most for tokens whose key is not among them.
    pub refetch_ms: u32,
    /// How long a fetch may take.
    pub timeout_ms: u32,
}

/// What is around: a clock, a store that may be missing, the way to the issuer.
pub trait World {
    /// Microseconds since some start.
    fn now_us(&self) -> u64;
    /// A value that is kept.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps a value, if there is a store.
    fn set(&self, key: &str, value: &[u8], ttl_ms: u32);
    /// Keeps a value if there is none; whether there was none. Without a store there never is one.
    fn claim(&self, key: &str, value: &[u8], ttl_ms: u32) -> bool;
    /// The body of the answer, of status 200.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn fetch(&self, jwks: &Jwks) -> Result<Vec<u8>, String>;
}

/// The keys of a set.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Jwk>);

impl KeySet {
    /// From what the issuer has answered. Keys that can't be used are left out, as RFC 7517 §5 has it.
    ///
    /// # Errors
    ///
    /// If it is no set of keys, or none of them can be used.
    fn fetched(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document =
            serde_json::from_slice(body).map_err(|error| format!("no key set: {error}"))?;
        let keys = document.keys.into_iter().take(MAX_KEYS);
        let keys: Vec<Jwk> = keys
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter(|key: &Jwk| key.algorithm().is_ok() && key.key().is_ok())
            .collect();
        match keys.as_slice() {
            [] => Err("no key of the set can be used".to_owned()),
            _ => Ok(Self(keys)),
        }
    }
}

/// A set with when it was fetched.
struct Kept {
    fetched_us: u64,
    keys: KeySet,
}

/// What the last fetch has come to, as it is kept for those who would fetch as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    UnderWay,
    Done,
    Failed,
}

impl Last {
    const fn mark(self) -> &'static [u8] {
        match self {
            Self::UnderWay => b"u",
            Self::Done => b"d",
            Self::Failed => b"f",
        }
    }
}

impl Jwks {
    /// Whether these keys can be the ones for a token that says so.
    pub fn may_cover(&self, token: &Token) -> bool {
        self.algorithms.contains(&token.algorithm)
            && trusted::speaks_for(self.issuer.as_deref(), token)
    }

    /// The keys that may have signed the token: from the store while they are fresh, or fetched.
    ///
    /// # Errors
    ///
    /// If the issuer can't be asked, so that nobody can tell.
    pub fn candidates(
        &self,
        token: &Token,
        world: &impl World,
    ) -> Result<Vec<(Trust, Key)>, String> {
        let (keys, is_new) = self.present(world)?;
        let candidates = self.covering(&keys, token);
        if !candidates.is_empty() || is_new || token.kid.is_none() {
            return Ok(candidates);
        }
        // A key that has come since. Who may not ask waits for who does: the token may be good.
        match self.fetch_once(world) {
            Ok(Some(keys)) => Ok(self.covering(&keys, token)),
            Ok(None) => Ok(candidates),
            Err(error) => Err(error),
        }
    }

    /// The set as it is known, and whether this request has fetched it.
    fn present(&self, world: &impl World) -> Result<(KeySet, bool), String> {
        let Some(kept) = self.kept(world) else {
            if self.last(world) == Some(Last::Failed) {
                return Err("the last fetch has failed".to_owned());
            }
            // All who come while there are no keys fetch them: there is no way to wait for another's.
            return self.fetch(world).map(|keys| (keys, true));
        };
        let age_us = world.now_us().saturating_sub(kept.fetched_us);
        if age_us < u64::from(self.cache_ms) * 1_000 {
            return Ok((kept.keys, false));
        }
        Ok(match self.fetch_once(world) {
            Ok(Some(keys)) => (keys, true),
            Ok(None) | Err(_) => (kept.keys, false),
        })
    }

    /// Fetches, unless somebody has of late: `None`, if that has gone well.
    fn fetch_once(&self, world: &impl World) -> Result<Option<KeySet>, String> {
        let key = self.last_key();
        // Ends by itself if this request does before its fetch.
        let under_way_ms = self.timeout_ms.saturating_add(FAILED_MS);
        if world.claim(&key, Last::UnderWay.mark(), under_way_ms) {
            return self.fetch(world).map(Some);
        }
        match self.last(world) {
            Some(Last::Failed) => Err("the last fetch has failed".to_owned()),
            Some(Last::UnderWay) => Err("the keys are being fetched".to_owned()),
            Some(Last::Done) | None => Ok(None),
        }
    }

    fn fetch(&self, world: &impl World) -> Result<KeySet, String> {
        let fetched = world
            .fetch(self)
            .and_then(|body| KeySet::fetched(&body))
            .inspect_err(|_| world.set(&self.last_key(), Last::Failed.mark(), FAILED_MS))?;
        let mut value = world.now_us().to_le_bytes().to_vec();
        value.extend(serde_json::to_vec(&fetched.0).unwrap_or_default());
        world.set(
            &self.keys_key(),
            &value,
            self.cache_ms.saturating_add(self.stale_ms),
        );
        // No longer than the keys are fresh, or they could not be fetched when they are due.
        let done_ms = self.refetch_ms.min(self.cache_ms);
        world.set(&self.last_key(), Last::Done.mark(), done_ms);
        Ok(fetched)
    }

    fn kept(&self, world: &impl World) -> Option<Kept> {
        let value = world.get(&self.keys_key())?;
        let (fetched_us, keys) = value.split_first_chunk()?;
        Some(Kept {
            fetched_us: u64::from_le_bytes(*fetched_us),
            keys: KeySet(serde_json::from_slice(keys).ok()?),
        })
    }

    fn last(&self, world: &impl World) -> Option<Last> {
        let mark = world.get(&self.last_key())?;
        let known = [Last::UnderWay, Last::Done, Last::Failed];
        known.into_iter().find(|last| last.mark() == mark)
    }

    fn keys_key(&self) -> String {
        format!("keys:{}{}", self.upstream, self.path)
    }

    fn last_key(&self) -> String {
        format!("last:{}{}", self.upstream, self.path)
    }

    fn covering(&self, keys: &KeySet, token: &Token) -> Vec<(Trust, Key)> {
        let trusted = |jwk: &Jwk| {
            let mut trust = Trust {
                kid: jwk.kid().map(str::to_owned),
                issuer: self.issuer.clone(),
                algorithms: self.algorithms.clone(),
            };
            // The rest is dear: only for those that may be it.
            trust.covers(token).then_some(())?;
            let key = jwk.key().ok()?;
            trust.algorithms =
                trusted::allowed(&key, jwk.algorithm().ok()?, Some(&self.algorithms));
            trust.covers(token).then_some((trust, key))
        };
        keys.0.iter().filter_map(trusted).collect()
    }
}

#[cfg(test)]
mod tests;
