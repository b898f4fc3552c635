//! Decisions in the gateway's own key-value store: compare and swap, all limits or none.
//!
//! All buckets are looked at first; only when every limit allows are they charged, one by one. When a
//! charge loses a race and the limit then denies, the charges before it are taken back, but never one that
//! has drained by itself meanwhile: so no more is ever admitted than the limits allow, and in a race of
//! several limits a request may be denied that another order would have admitted.

use crate::decision::{Decision, Demand, MAX_LIMITS, StoreError};
use crate::gcra::{Probe, Standing};

/// Swaps that may be lost in a row. A lost swap means that another worker's was won, so this many
/// in the few microseconds of one decision mean that something is broken.
pub const MAX_LOST_SWAPS: u32 = 64;

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

/// A bucket as it was read.
#[derive(Clone, Copy)]
struct Seen {
    stored: Option<u64>,
    now_us: u64,
    probe: Probe,
}

/// Decides a request of `demands` (at most [`MAX_LIMITS`]).
pub fn decide(cells: &impl Cells, demands: &[Demand]) -> Result<Decision, StoreError> {
    let mut seen: [Option<Seen>; MAX_LIMITS] = [None; MAX_LIMITS];
    let mut pass = true;
    for (slot, demand) in seen.iter_mut().zip(demands) {
        let bucket = look(cells, demand)?;
        pass &= bucket.probe.allows() || demand.is_shadow;
        *slot = Some(bucket);
    }
    let mut charged = [false; MAX_LIMITS];
    if pass {
        for i in 0..demands.len() {
            let paid = charge(cells, &demands[i], &mut seen[i]);
            if paid == Ok(false) && demands[i].is_shadow {
                continue;
            }
            if paid != Ok(true) {
                take_back(cells, &demands[..i], &seen, &charged)?;
                return paid.map(|_| decision(demands, &seen, &[false; MAX_LIMITS]));
            }
            charged[i] = true;
        }
    }
    Ok(decision(demands, &seen, &charged))
}

/// The TAT that is kept under `key`: a bucket is that in 8 bytes, little endian.
pub fn tat_us(cells: &impl Cells, key: &str) -> Result<Option<u64>, StoreError> {
    let value = cells.get(key)?;
    Ok(value.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
}

/// Charges one bucket; `false`: there is not enough, or others took what was left.
fn charge(
    cells: &impl Cells,
    demand: &Demand,
    seen: &mut Option<Seen>,
) -> Result<bool, StoreError> {
    for _ in 0..MAX_LOST_SWAPS {
        let bucket = match *seen {
            Some(bucket) => bucket,
            None => *seen.insert(look(cells, demand)?),
        };
        if !bucket.probe.allows() {
            return Ok(false);
        }
        if demand.cost == 0 {
            return Ok(true);
        }
        let tat_us = bucket.probe.charged_tat_us();
        if swap(cells, &demand.key, bucket.stored, tat_us, bucket.now_us)? {
            return Ok(true);
        }
        *seen = None;
    }
    Err(StoreError::Failed(format!(
        "lost {MAX_LOST_SWAPS} swaps in a row"
    )))
}

/// Takes back the charges of `demands` that were made as `seen`.
fn take_back(
    cells: &impl Cells,
    demands: &[Demand],
    seen: &[Option<Seen>; MAX_LIMITS],
    charged: &[bool; MAX_LIMITS],
) -> Result<(), StoreError> {
    let made = demands.iter().zip(seen.iter().flatten()).zip(charged);
    for ((demand, bucket), _) in made.filter(|((demand, _), paid)| **paid && demand.cost > 0) {
        for _ in 0..MAX_LOST_SWAPS {
            let now_us = cells.now_us();
            let Some(stored) = tat_us(cells, &demand.key)? else {
                break;
            };
            // Drained by itself: what is there now is owed by others.
            if bucket.probe.charged_tat_us() <= now_us {
                break;
            }
            let before = stored.saturating_sub(demand.rate.charge_us(demand.cost));
            if swap(cells, &demand.key, Some(stored), before, now_us)? {
                break;
            }
        }
    }
    Ok(())
}

fn decision(
    demands: &[Demand],
    seen: &[Option<Seen>; MAX_LIMITS],
    charged: &[bool; MAX_LIMITS],
) -> Decision {
    Decision::collect(demands, |i| match seen[i] {
        Some(bucket) if charged[i] => bucket.probe.charged(),
        Some(bucket) => bucket.probe.uncharged(),
        None => Standing::default(),
    })
}

/// The clock is read after the bucket: the gateway may let others go on in between, and a clock that is
/// older than the bucket would deny what is allowed.
fn look(cells: &impl Cells, demand: &Demand) -> Result<Seen, StoreError> {
    let stored = tat_us(cells, &demand.key)?;
    let now_us = cells.now_us();
    Ok(Seen {
        stored,
        now_us,
        probe: demand.rate.probe(stored, now_us, demand.cost),
    })
}

fn swap(
    cells: &impl Cells,
    key: &str,
    from: Option<u64>,
    to: u64,
    now_us: u64,
) -> Result<bool, StoreError> {
    let expect = from.map(u64::to_le_bytes);
    let expect = expect.as_ref().map(<[u8; 8]>::as_slice);
    cells.swap(key, expect, &to.to_le_bytes(), ttl_ms(to, now_us))
}

/// Milliseconds, rounded up, from now to that moment: what a cell must live for at least.
pub fn ttl_ms(until_us: u64, now_us: u64) -> u32 {
    let ms = until_us.saturating_sub(now_us).div_ceil(1_000);
    u32::try_from(ms).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
