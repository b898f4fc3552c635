//! What one gateway notes about a bucket of the shared store: a refusal that still holds, units that it has
//! taken ahead, and who of its workers speaks for it.
//!
//! Pure: moments are this process's monotonic microseconds, passed in.

use crate::decision::Demand;
use crate::gcra::Standing;

/// The store is asked again about a refusal after this long, so that a bucket that an operator has removed
/// there is found within a minute, for one command a minute.
const MAX_TRUST_US: u64 = 60_000_000;
/// A refusal is trusted for all of its wait but this part: so clocks whose speeds differ by up to 0.09 % can't
/// make the gateway refuse what the store would admit.
const TRUST_MARGIN: u64 = 1_024;
/// Units that were taken ahead and are not spent are given up when their bucket would have filled, but not
/// before this time.
const MIN_LEASE_US: u64 = 1_000_000;
/// Whoever speaks for the gateway has this long to hear the store's answer; then another may.
const SPEAKER_US: u64 = 1_000_000;

/// The note of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The bucket's TAT when the store was heard last. The true one is this or later: charges only add.
    tat_us: u64,
    /// Until this moment a refusal that follows from `tat_us` is not doubted.
    trusted_until_us: u64,
    /// Units taken ahead and not spent.
    units: u32,
    /// When they are given up.
    units_until_us: u64,
    /// Until this moment one request takes units, or tells what is owed, for the whole gateway.
    speaker_until_us: u64,
    /// The TAT of the gateway's own bucket up to which the store has been told what was spent without it.
    told_tat_us: u64,
}

const BYTES: usize = 44;

impl Note {
    /// Reads what [`Note::to_bytes`] wrote; anything else is no note.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?))
        };
        Some(Self {
            tat_us: number(0)?,
            trusted_until_us: number(8)?,
            units_until_us: number(16)?,
            speaker_until_us: number(24)?,
            told_tat_us: number(32)?,
            units: u32::from_le_bytes(bytes[40..].try_into().ok()?),
        })
    }

    /// As it is kept.
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let numbers = [
            self.tat_us,
            self.trusted_until_us,
            self.units_until_us,
            self.speaker_until_us,
            self.told_tat_us,
        ];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..].copy_from_slice(&self.units.to_le_bytes());
        bytes
    }

    /// When nothing in it matters any more.
    pub fn until_us(&self) -> u64 {
        let units = if self.units > 0 {
            self.units_until_us
        } else {
            0
        };
        self.trusted_until_us
            .max(units)
            .max(self.speaker_until_us)
            .max(self.told_tat_us)
    }

    /// The refusal that the store would answer now, where that is certain.
    pub fn refusal(&self, demand: &Demand, now_us: u64) -> Option<Standing> {
        if demand.is_shadow || now_us >= self.trusted_until_us || self.units(now_us) >= demand.cost
        {
            return None;
        }
        let probe = demand.rate.probe(Some(self.tat_us), now_us, demand.cost);
        (!probe.allows()).then(|| probe.uncharged())
    }

    /// After the store, asked at `asked_us`, has refused the request with that standing.
    #[must_use]
    pub fn refused(mut self, demand: &Demand, standing: &Standing, asked_us: u64) -> Self {
        let wait_us = standing.wait_us;
        let debt_us = wait_us + demand.rate.tolerance_us() - demand.rate.charge_us(demand.cost);
        self.tat_us = asked_us + debt_us;
        let trust_us = (wait_us - wait_us.div_ceil(TRUST_MARGIN)).min(MAX_TRUST_US);
        self.trusted_until_us = asked_us + trust_us;
        self
    }

    /// Units that may be spent now.
    pub fn units(&self, now_us: u64) -> u32 {
        if now_us < self.units_until_us {
            self.units
        } else {
            0
        }
    }

    /// With the request's cost spent of the units, if there are so many.
    pub fn spend(mut self, demand: &Demand, now_us: u64) -> Option<Self> {
        self.units = self.units(now_us).checked_sub(demand.cost)?;
        Some(self)
    }

    /// The standing of a request that was paid with units: what is left of them and of the bucket, as it was
    /// when the store was heard last.
    pub fn spent(&self, demand: &Demand, now_us: u64) -> Standing {
        let bucket = demand.rate.probe(Some(self.tat_us), now_us, 0).uncharged();
        Standing {
            allowed: true,
            remaining: bucket.remaining.saturating_add(self.units),
            wait_us: bucket.wait_us,
        }
    }

    /// With so many units more, of which a gateway never holds more than `demand.lease`.
    #[must_use]
    pub fn receive(mut self, demand: &Demand, units: u32, now_us: u64) -> Self {
        let held = self.units(now_us).saturating_add(units);
        self.units = held.min(demand.lease);
        if units > 0 {
            self.units_until_us = now_us + demand.rate.tolerance_us().max(MIN_LEASE_US);
        }
        self
    }

    /// After the store, asked at `asked_us`, has let the request pass with that standing.
    #[must_use]
    pub fn heard(mut self, standing: &Standing, asked_us: u64) -> Self {
        self.tat_us = asked_us + standing.wait_us;
        self
    }

    /// With a request that speaks for the gateway, unless one does already.
    pub fn speak(mut self, now_us: u64) -> Option<Self> {
        if now_us < self.speaker_until_us {
            return None;
        }
        self.speaker_until_us = now_us + SPEAKER_US;
        Some(self)
    }

    /// With nobody who speaks.
    #[must_use]
    pub fn fall_silent(mut self) -> Self {
        self.speaker_until_us = 0;
        self
    }

    /// What of the gateway's own bucket, with that TAT, the store does not know and has not drained, in
    /// microseconds of that bucket.
    pub fn untold_us(&self, own_tat_us: Option<u64>, now_us: u64) -> u64 {
        own_tat_us
            .unwrap_or(0)
            .saturating_sub(self.told_tat_us.max(now_us))
    }

    /// After the store has been told of the gateway's own bucket up to that TAT.
    #[must_use]
    pub fn told(mut self, own_tat_us: u64) -> Self {
        self.told_tat_us = self.told_tat_us.max(own_tat_us);
        self
    }
}

#[cfg(test)]
mod tests;
