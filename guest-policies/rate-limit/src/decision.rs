//! What a request asks of the limits, and what a store answers: one standing for each, in the order of the
//! config.

use std::fmt;

use crate::gcra::{Rate, Standing};

/// Most limits in one use of the policy: each is a key to read and write, and a part of two response fields.
pub const MAX_LIMITS: usize = 8;

/// What one request asks of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The bucket's key.
    pub key: String,
    /// How the bucket refills and what it holds.
    pub rate: Rate,
    /// Units that the request costs; at most the rate's burst, 0 is never refused.
    pub cost: u32,
    /// Units that a gateway may take ahead from a shared store; 0: none.
    pub lease: u32,
    /// The limit only watches: it never refuses, and what it would refuse is not charged to it.
    pub is_shadow: bool,
}

/// The standings of all limits of one request; held without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    standings: [Standing; MAX_LIMITS],
    /// Bit i: limit i only watches.
    shadows: u8,
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
    /// Asks `standing` for each of `demands` (at most [`MAX_LIMITS`]).
    pub fn collect(demands: &[Demand], standing: impl FnMut(usize) -> Standing) -> Self {
        let bit = |(i, demand): (usize, &Demand)| u8::from(demand.is_shadow) << i;
        let shadows = demands.iter().take(MAX_LIMITS).enumerate().map(bit).sum();
        Self::of(demands.len(), shadows, standing)
    }

    fn of(len: usize, shadows: u8, mut standing: impl FnMut(usize) -> Standing) -> Self {
        let mut standings = [Standing::default(); MAX_LIMITS];
        for (i, slot) in standings.iter_mut().take(len).enumerate() {
            *slot = standing(i);
        }
        Self {
            standings,
            shadows,
            len: len.min(MAX_LIMITS),
        }
    }

    /// One for each limit.
    pub fn standings(&self) -> &[Standing] {
        &self.standings[..self.len]
    }

    /// Whether limit `i` only watches.
    pub fn is_shadow(&self, i: usize) -> bool {
        self.shadows >> i & 1 == 1
    }

    /// Whether limit `i` keeps the request from passing.
    pub fn refuses(&self, i: usize) -> bool {
        !self.standings[i].allowed && !self.is_shadow(i)
    }

    /// Whether every limit that does more than watch lets the request pass; only then was it charged.
    pub fn allowed(&self) -> bool {
        !(0..self.len).any(|i| self.refuses(i))
    }

    /// The limits that callers are told of, with their standings: those that allow when all do, else those that
    /// refuse. Never those that only watch.
    pub fn told(&self) -> impl Iterator<Item = (usize, &Standing)> {
        let allowed = self.allowed();
        let standings = self.standings().iter().enumerate();
        standings.filter(move |(i, standing)| !self.is_shadow(*i) && standing.allowed == allowed)
    }

    /// The form in which the request hook hands an allowed decision to the response hook.
    pub fn to_state(&self) -> Vec<u8> {
        let mut state = Vec::with_capacity(1 + self.len * 12);
        state.push(self.shadows);
        for standing in self.standings() {
            state.extend_from_slice(&standing.remaining.to_le_bytes());
            state.extend_from_slice(&standing.wait_us.to_le_bytes());
        }
        state
    }

    /// Reads what [`Self::to_state`] wrote for `len` limits; `None` when it is of another config.
    pub fn from_state(state: &[u8], len: usize) -> Option<Self> {
        let (&shadows, rest) = state.split_first()?;
        if len > MAX_LIMITS || rest.len() != len * 12 {
            return None;
        }
        let standing = |i: usize| -> Option<Standing> {
            let (remaining, wait_us) = rest[12 * i..12 * (i + 1)].split_at(4);
            Some(Standing {
                allowed: true,
                remaining: u32::from_le_bytes(remaining.try_into().ok()?),
                wait_us: u64::from_le_bytes(wait_us.try_into().ok()?),
            })
        };
        Some(Self::of(len, shadows, |i| standing(i).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(is_shadow: bool) -> Demand {
        Demand {
            key: String::new(),
            rate: Rate::new(1, 1, 1),
            cost: 1,
            lease: 0,
            is_shadow,
        }
    }

    #[test]
    fn the_state_survives_the_way_to_the_response() {
        let demands = [demand(false), demand(true), demand(false)];
        let decision = Decision::collect(&demands, |i| Standing {
            allowed: true,
            remaining: i as u32,
            wait_us: 1 << (20 * i),
        });
        let state = decision.to_state();
        assert_eq!(state.len(), 37);
        assert_eq!(Decision::from_state(&state, 3), Some(decision));
        assert_eq!(Decision::from_state(&state, 2), None);
        assert_eq!(Decision::from_state(&[], 0), None);
        assert_eq!(Decision::from_state(&[0], 9), None);
    }

    #[test]
    fn a_limit_that_watches_refuses_nothing_and_is_not_told() {
        let demands = [demand(true), demand(false)];
        let standing = |allowed| Standing {
            allowed,
            ..Standing::default()
        };
        let told = |decision: &Decision| decision.told().map(|(i, _)| i).collect::<Vec<_>>();
        let watched = Decision::collect(&demands, |i| standing(i == 1));
        assert!(watched.allowed() && !watched.refuses(0));
        assert_eq!(told(&watched), [1]);
        let refused = Decision::collect(&demands, |_| standing(false));
        assert!(!refused.allowed());
        assert_eq!(told(&refused), [1]);
    }
}
