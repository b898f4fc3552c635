//! Places in the gateway's own key-value store: compare and swap, all limits or none.
//!
//! A key's cell holds the moment at which each of its places is free again, 8 bytes for each holder, little
//! endian. Holders with the same moment are alike: it does not matter which of them goes.

use crate::claim::{Claim, MAX_LIMITS, Outcome, StoreError};

/// Swaps that may be lost in a row. A lost swap means that another worker's was won, so this many mean that
/// something is broken.
const MAX_LOST_SWAPS: u32 = 64;

const BYTES: usize = size_of::<u64>();

/// Cells of bytes that change by compare and swap, and the clock by which they are timed.
pub trait Cells {
    /// Microseconds; never goes back.
    fn now_us(&self) -> u64;
    /// The cell's value.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Sets `value` if the present one is `expect`; whether it did. The cell may go after `ttl_ms`.
    fn swap(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<bool, StoreError>;
}

/// Takes a place of each of `claims` (at most [`MAX_LIMITS`]), or none, until `until_us`.
pub fn acquire(cells: &impl Cells, claims: &[Claim], until_us: u64) -> Result<Outcome, StoreError> {
    let mut has_place = [false; MAX_LIMITS];
    for (i, claim) in claims.iter().enumerate() {
        let taken = change(cells, &claim.key, |holders, now_us| {
            take(holders, now_us, claim.bound, until_us)
        });
        has_place[i] = match taken {
            Ok(taken) => taken,
            Err(error) => {
                give_back(cells, &claims[..i], &has_place, until_us);
                return Err(error);
            }
        };
        if !has_place[i] && !claim.is_shadow {
            give_back(cells, &claims[..i], &has_place, until_us);
            // Those behind it were not asked; only the one that refuses is reported.
            return Ok(Outcome::collect(claims, |j| j != i));
        }
    }
    Ok(Outcome::collect(claims, |i| has_place[i]))
}

/// Gives back the place of `key` that was taken until `until_us`; one that has ended already is no error.
pub fn release(cells: &impl Cells, key: &str, until_us: u64) -> Result<(), StoreError> {
    change(cells, key, |holders, _| drop_one(holders, until_us)).map(|_| ())
}

fn give_back(cells: &impl Cells, claims: &[Claim], taken: &[bool; MAX_LIMITS], until_us: u64) {
    for (claim, _) in claims.iter().zip(taken).filter(|(_, taken)| **taken) {
        // What can't be given back ends with its time.
        let _ = release(cells, &claim.key, until_us);
    }
}

/// The holders with one more, without those whose time is up; `None` when there is no place.
fn take(holders: &[u8], now_us: u64, bound: u32, until_us: u64) -> Option<Vec<u8>> {
    let alive = |holder: &&[u8]| moment(holder) > now_us;
    let mut left = holders
        .chunks_exact(BYTES)
        .filter(alive)
        .collect::<Vec<_>>()
        .concat();
    if left.len() / BYTES >= usize::try_from(bound).unwrap_or(usize::MAX) {
        return None;
    }
    left.extend_from_slice(&until_us.to_le_bytes());
    Some(left)
}

/// The holders without one of that moment; `None` when there is none.
fn drop_one(holders: &[u8], until_us: u64) -> Option<Vec<u8>> {
    let place = holders
        .chunks_exact(BYTES)
        .position(|holder| moment(holder) == until_us)?;
    let (before, from) = holders.split_at(place * BYTES);
    Some([before, &from[BYTES..]].concat())
}

/// Changes a cell; whether there was a change to make.
fn change(
    cells: &impl Cells,
    key: &str,
    make: impl Fn(&[u8], u64) -> Option<Vec<u8>>,
) -> Result<bool, StoreError> {
    for _ in 0..MAX_LOST_SWAPS {
        let present = cells.get(key)?;
        let now_us = cells.now_us();
        let Some(made) = make(present.as_deref().unwrap_or_default(), now_us) else {
            return Ok(false);
        };
        let last = made.chunks_exact(BYTES).map(moment).max().unwrap_or(0);
        let ttl_ms = last.saturating_sub(now_us).div_ceil(1_000);
        let ttl_ms = u32::try_from(ttl_ms).unwrap_or(u32::MAX).max(1);
        if cells.swap(key, present.as_deref(), &made, ttl_ms)? {
            return Ok(true);
        }
    }
    Err(StoreError::Failed(format!(
        "lost {MAX_LOST_SWAPS} swaps in a row"
    )))
}

fn moment(holder: &[u8]) -> u64 {
    holder.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
