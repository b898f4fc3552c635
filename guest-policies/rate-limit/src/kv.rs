//! Decisions in the gateway's own key-value store: compare and swap, all limits or none.
//!
//! All buckets are looked at first; only when every limit allows are they charged, one by one. When a
//! charge loses a race and the limit then denies, the charges before it are taken back, but never one that
//! has drained by itself meanwhile: so no more is ever admitted than the limits allow, and in a race of
//! several limits a request may be denied that another order would have admitted.

use crate::decision::{Decision, MAX_LIMITS, StoreError};
use crate::gcra::{Probe, Rate, Standing};

/// Swaps that may be lost in a row. A lost swap means that another worker's was won, so this many
/// in the few microseconds of one decision mean that something is broken.
const MAX_LOST_SWAPS: u32 = 64;

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

/// Decides a request by `rates` on the buckets `keys`, of the same number (at most [`MAX_LIMITS`]).
pub fn decide(cells: &impl Cells, rates: &[Rate], keys: &[String]) -> Result<Decision, StoreError> {
    let mut seen: [Option<Seen>; MAX_LIMITS] = [None; MAX_LIMITS];
    let mut all_allow = true;
    for ((slot, rate), key) in seen.iter_mut().zip(rates).zip(keys) {
        let bucket = look(cells, *rate, key)?;
        all_allow &= bucket.probe.allows();
        *slot = Some(bucket);
    }
    if all_allow {
        for i in 0..keys.len() {
            let charged = charge(cells, rates[i], &keys[i], &mut seen[i]);
            if charged != Ok(true) {
                take_back(cells, &rates[..i], &keys[..i], &seen)?;
                return charged.map(|_| decision(&seen, keys.len(), false));
            }
        }
    }
    Ok(decision(&seen, keys.len(), all_allow))
}

/// Charges one bucket; `false`: others took what was left.
fn charge(
    cells: &impl Cells,
    rate: Rate,
    key: &str,
    seen: &mut Option<Seen>,
) -> Result<bool, StoreError> {
    for _ in 0..MAX_LOST_SWAPS {
        let bucket = match *seen {
            Some(bucket) => bucket,
            None => *seen.insert(look(cells, rate, key)?),
        };
        if !bucket.probe.allows() {
            return Ok(false);
        }
        if swap(
            cells,
            key,
            bucket.stored,
            bucket.probe.charged_tat_us(),
            bucket.now_us,
        )? {
            return Ok(true);
        }
        *seen = None;
    }
    Err(StoreError::Failed(format!(
        "lost {MAX_LOST_SWAPS} swaps in a row"
    )))
}

/// Takes back the charges of `keys`, which were made as `seen`.
fn take_back(
    cells: &impl Cells,
    rates: &[Rate],
    keys: &[String],
    seen: &[Option<Seen>; MAX_LIMITS],
) -> Result<(), StoreError> {
    for ((rate, key), bucket) in rates.iter().zip(keys).zip(seen.iter().flatten()) {
        for _ in 0..MAX_LOST_SWAPS {
            let now_us = cells.now_us();
            let Some(stored) = read(cells, key)? else {
                break;
            };
            // Drained by itself: what is there now is owed by others.
            if bucket.probe.charged_tat_us() <= now_us {
                break;
            }
            if swap(
                cells,
                key,
                Some(stored),
                stored.saturating_sub(rate.interval_us()),
                now_us,
            )? {
                break;
            }
        }
    }
    Ok(())
}

fn decision(seen: &[Option<Seen>; MAX_LIMITS], len: usize, charged: bool) -> Decision {
    Decision::collect(len, |i| match seen[i] {
        Some(bucket) if charged => bucket.probe.charged(),
        Some(bucket) => bucket.probe.uncharged(),
        None => Standing::default(),
    })
}

/// The clock is read after the bucket: the gateway may let others go on in between, and a clock that is
/// older than the bucket would deny what is allowed.
fn look(cells: &impl Cells, rate: Rate, key: &str) -> Result<Seen, StoreError> {
    let stored = read(cells, key)?;
    let now_us = cells.now_us();
    Ok(Seen {
        stored,
        now_us,
        probe: rate.probe(stored, now_us),
    })
}

/// A bucket is its TAT in 8 bytes, little endian.
fn read(cells: &impl Cells, key: &str) -> Result<Option<u64>, StoreError> {
    let value = cells.get(key)?;
    Ok(value.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
}

fn swap(
    cells: &impl Cells,
    key: &str,
    from: Option<u64>,
    to: u64,
    now_us: u64,
) -> Result<bool, StoreError> {
    let expect = from.map(u64::to_le_bytes);
    let ttl_ms = u32::try_from(to.saturating_sub(now_us).div_ceil(1_000))
        .unwrap_or(u32::MAX)
        .max(1);
    cells.swap(
        key,
        expect.as_ref().map(<[u8; 8]>::as_slice),
        &to.to_le_bytes(),
        ttl_ms,
    )
}

#[cfg(test)]
mod tests;
