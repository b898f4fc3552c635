//! What a store answers: one standing for each limit, in the order of the config.

use std::fmt;

use crate::gcra::Standing;

/// Most limits in one use of the policy: each is a key to read and write, and a part of two response fields.
pub const MAX_LIMITS: usize = 8;

/// The standings of all limits of one request; held without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    standings: [Standing; MAX_LIMITS],
    len: usize,
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No grant: this store is not for this policy. Says what is missing.
    Denied(String),
    /// The store is there and has no room for another bucket.
    Full,
    /// The store failed; says how.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) | Self::Failed(why) => f.write_str(why),
            Self::Full => f.write_str("kv: full"),
        }
    }
}

impl std::error::Error for StoreError {}

impl Decision {
    /// Asks `standing` for each of `len` limits (at most [`MAX_LIMITS`]).
    pub fn collect(len: usize, mut standing: impl FnMut(usize) -> Standing) -> Self {
        let mut standings = [Standing::default(); MAX_LIMITS];
        for (i, slot) in standings.iter_mut().take(len).enumerate() {
            *slot = standing(i);
        }
        Self {
            standings,
            len: len.min(MAX_LIMITS),
        }
    }

    /// One for each limit.
    pub fn standings(&self) -> &[Standing] {
        &self.standings[..self.len]
    }

    /// Whether every limit lets the request pass; only then was it charged.
    pub fn allowed(&self) -> bool {
        self.standings().iter().all(|standing| standing.allowed)
    }

    /// The form in which the request hook hands an allowed decision to the response hook.
    pub fn to_state(&self) -> Vec<u8> {
        let mut state = Vec::with_capacity(self.len * 12);
        for standing in self.standings() {
            state.extend_from_slice(&standing.remaining.to_le_bytes());
            state.extend_from_slice(&standing.wait_us.to_le_bytes());
        }
        state
    }

    /// Reads what [`Self::to_state`] wrote for `len` limits; `None` when it is of another config.
    pub fn from_state(state: &[u8], len: usize) -> Option<Self> {
        if len > MAX_LIMITS || state.len() != len * 12 {
            return None;
        }
        let mut standings = [Standing::default(); MAX_LIMITS];
        for (slot, bytes) in standings.iter_mut().zip(state.chunks_exact(12)) {
            let (remaining, wait_us) = bytes.split_at(4);
            *slot = Standing {
                allowed: true,
                remaining: u32::from_le_bytes(remaining.try_into().ok()?),
                wait_us: u64::from_le_bytes(wait_us.try_into().ok()?),
            };
        }
        Some(Self { standings, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_survives_the_way_to_the_response() {
        let decision = Decision::collect(3, |i| Standing {
            allowed: true,
            remaining: i as u32,
            wait_us: 1 << (20 * i),
        });
        let state = decision.to_state();
        assert_eq!(state.len(), 36);
        assert_eq!(Decision::from_state(&state, 3), Some(decision));
        assert_eq!(Decision::from_state(&state, 2), None);
        assert_eq!(Decision::from_state(&[], 9), None);
    }
}
