//! The generic cell rate algorithm (ITU-T I.371, annex A) in whole microseconds.
//!
//! One moment is kept per key: the theoretical arrival time, TAT, at which the key's bucket is full
//! again. Pure: the clock and the stored TAT are passed in.

/// How fast a bucket refills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval_us: u64,
    tolerance_us: u64,
}

/// Where a key stands after a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether this limit lets the request pass.
    pub allowed: bool,
    /// How many more units may come at once.
    pub remaining: u32,
    /// Allowed: microseconds until the bucket is full. Denied: microseconds until this request may pass, exact.
    pub wait_us: u64,
}

/// One key's state at one moment, before anything is charged.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    rate: Rate,
    now_us: u64,
    /// The stored TAT, or now when the bucket is full: never in the past.
    tat_us: u64,
    /// What the request costs, in the time that earns it.
    charge_us: u64,
}

impl Rate {
    /// `units` in each `per_us` microseconds on average, and up to `burst` at once; all ≥ 1.
    ///
    /// The time between two units is rounded up to a whole microsecond, so the true rate is
    /// never above the one asked for (and below it by at most units / `per_us`).
    pub fn new(units: u32, per_us: u64, burst: u32) -> Self {
        let interval_us = per_us.div_ceil(u64::from(units));
        Self {
            interval_us,
            tolerance_us: interval_us.saturating_mul(u64::from(burst)),
        }
    }

    /// The part of one in `count` gateways (≥ 1): of the rate, and of the burst with at least one unit.
    pub fn share(self, count: u32) -> Self {
        let interval_us = self.interval_us.saturating_mul(u64::from(count));
        let burst = (self.burst() / count).max(1);
        Self {
            interval_us,
            tolerance_us: interval_us.saturating_mul(u64::from(burst)),
        }
    }

    /// Microseconds in which one unit is earned.
    pub fn interval_us(self) -> u64 {
        self.interval_us
    }

    /// Microseconds in which an empty bucket becomes full.
    pub fn tolerance_us(self) -> u64 {
        self.tolerance_us
    }

    /// Units in a full bucket.
    pub fn burst(self) -> u32 {
        u32::try_from(self.tolerance_us / self.interval_us).unwrap_or(u32::MAX)
    }

    /// Microseconds in which so many units are earned.
    pub fn charge_us(self, cost: u32) -> u64 {
        self.interval_us.saturating_mul(u64::from(cost))
    }

    /// Looks at a bucket whose stored TAT is `stored` (`None`: never used, or full long ago) for a request
    /// of so many units.
    pub fn probe(self, stored: Option<u64>, now_us: u64, cost: u32) -> Probe {
        Probe {
            rate: self,
            now_us,
            tat_us: stored.unwrap_or(0).max(now_us),
            charge_us: self.charge_us(cost),
        }
    }
}

impl Probe {
    /// Whether the request may pass now.
    pub fn allows(&self) -> bool {
        self.charged_tat_us() - self.now_us <= self.rate.tolerance_us
    }

    /// The TAT to store when the request is charged.
    pub fn charged_tat_us(&self) -> u64 {
        self.tat_us.saturating_add(self.charge_us)
    }

    /// The standing once the request has been charged.
    pub fn charged(&self) -> Standing {
        self.standing(self.charged_tat_us(), true)
    }

    /// The standing when nothing is charged.
    pub fn uncharged(&self) -> Standing {
        self.standing(self.tat_us, self.allows())
    }

    fn standing(&self, tat_us: u64, allowed: bool) -> Standing {
        let debt_us = tat_us - self.now_us;
        let room_us = self.rate.tolerance_us.saturating_sub(debt_us);
        let wait_us = if allowed {
            debt_us
        } else {
            debt_us
                .saturating_add(self.charge_us)
                .saturating_sub(self.rate.tolerance_us)
        };
        let remaining = u32::try_from(room_us / self.rate.interval_us).unwrap_or(u32::MAX);
        Standing {
            allowed,
            remaining,
            wait_us,
        }
    }
}

#[cfg(test)]
mod tests;
