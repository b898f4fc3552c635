//! What a request asks of the limits, and what comes of it.

use std::fmt;

/// Most limits in one use of the policy: each is a key to read and write.
pub const MAX_LIMITS: usize = 8;

/// What one request asks of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of those who are counted together.
    pub key: String,
    /// Most who may hold a place at once.
    pub bound: u32,
    /// The limit only watches: it never refuses, and who is beyond it holds no place.
    pub is_shadow: bool,
}

/// Which limits have a place for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Bit i: limit i has a place.
    holds: u8,
    /// Bit i: limit i only watches.
    shadows: u8,
    len: usize,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No grant: this store is not for this policy.
    Denied(String),
    /// The store failed; says how.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

impl Outcome {
    /// Asks `has_place` for each of `claims` (at most [`MAX_LIMITS`]).
    pub fn collect(claims: &[Claim], has_place: impl Fn(usize) -> bool) -> Self {
        let mut outcome = Self {
            holds: 0,
            shadows: 0,
            len: claims.len().min(MAX_LIMITS),
        };
        for (i, claim) in claims.iter().take(MAX_LIMITS).enumerate() {
            outcome.holds |= u8::from(has_place(i)) << i;
            outcome.shadows |= u8::from(claim.is_shadow) << i;
        }
        outcome
    }

    /// Whether limit `i` has a place for the request; it takes it only if the request passes.
    pub fn holds(&self, i: usize) -> bool {
        self.holds >> i & 1 == 1
    }

    /// Whether limit `i` only watches.
    pub fn is_shadow(&self, i: usize) -> bool {
        self.shadows >> i & 1 == 1
    }

    /// Whether limit `i` keeps the request from passing.
    pub fn refuses(&self, i: usize) -> bool {
        !self.holds(i) && !self.is_shadow(i)
    }

    /// Whether every limit that does more than watch has a place; only then is any taken.
    pub fn passes(&self) -> bool {
        !(0..self.len).any(|i| self.refuses(i))
    }
}
