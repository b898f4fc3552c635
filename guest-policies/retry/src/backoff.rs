//! How long to wait before another attempt. Pure: random bits and the last delay come in.

/// How the delays of one exchange are spread, so that callers that failed together don't come back together.
/// Both are of Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// After attempt n, uniform in 0 ..= min(cap, base × 2^(n-1)).
    Full,
    /// min(cap, uniform in base ..= 3 × the last delay), where the first last delay is `base`.
    Decorrelated,
}

/// The backoff of one use of the policy.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// How delays are spread.
    pub jitter: Jitter,
    /// The upper end of the first delay with full jitter, the lower end of every one with decorrelated jitter, in
    /// milliseconds; at least 1.
    pub base_ms: u32,
    /// The upper end of every delay, in milliseconds; at least `base_ms`.
    pub cap_ms: u32,
}

impl Backoff {
    /// The delay after attempt `number` (1 for the first); `last_ms` is the one before it, if there was one.
    pub fn delay_ms(&self, number: u32, last_ms: Option<u32>, random: u64) -> u32 {
        match self.jitter {
            Jitter::Full => {
                let doubled = u64::from(self.base_ms) << number.saturating_sub(1).min(31);
                between(0, doubled.min(u64::from(self.cap_ms)), random)
            }
            Jitter::Decorrelated => {
                let last_ms = last_ms.unwrap_or(self.base_ms).max(self.base_ms);
                let highest = u64::from(last_ms).saturating_mul(3);
                between(u64::from(self.base_ms), highest, random).min(self.cap_ms)
            }
        }
    }
}

/// Uniform in `low ..= high`.
fn between(low: u64, high: u64, random: u64) -> u32 {
    // The high half of a 128-bit product scales the bits without a modulo's bias.
    let scaled = (u128::from(random) * u128::from(high - low + 1)) >> 64;
    u32::try_from(u128::from(low) + scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: Backoff = Backoff {
        jitter: Jitter::Full,
        base_ms: 50,
        cap_ms: 1_000,
    };
    const DECORRELATED: Backoff = Backoff {
        jitter: Jitter::Decorrelated,
        ..FULL
    };

    #[test]
    fn the_window_doubles_up_to_the_cap_and_both_ends_are_reached() {
        for (number, window_ms) in [
            (1, 50),
            (2, 100),
            (3, 200),
            (5, 800),
            (6, 1_000),
            (40, 1_000),
            (u32::MAX, 1_000),
        ] {
            let delay = |random| FULL.delay_ms(number, None, random);
            assert_eq!((delay(0), delay(u64::MAX)), (0, window_ms), "{number}");
            assert_eq!(delay(1 << 63), window_ms.div_ceil(2), "{number}");
        }
    }

    #[test]
    fn decorrelated_delays_grow_from_the_last_one_up_to_the_cap() {
        for (last_ms, lowest, highest) in [
            (None, 50, 150),
            (Some(150), 50, 450),
            (Some(450), 50, 1_000),
            (Some(1_000), 50, 1_000),
            (Some(u32::MAX), 50, 1_000),
            // Of another config, before a reload.
            (Some(3), 50, 150),
        ] {
            let delay = |random| DECORRELATED.delay_ms(7, last_ms, random);
            assert_eq!(
                (delay(0), delay(u64::MAX)),
                (lowest, highest),
                "{last_ms:?}"
            );
        }
        // The middle of 50 ..= 1350 is below the cap: what is cut off is the upper part alone.
        assert_eq!(DECORRELATED.delay_ms(3, Some(450), 1 << 63), 700);
    }

    proptest! {
        #[test]
        fn no_delay_leaves_its_window(
            number in 1u32..50, base_ms in 1u32..100_000, more in 0u32..100_000, last_ms: Option<u32>, random: u64,
        ) {
            let cap_ms = base_ms + more;
            let backoff = Backoff { jitter: Jitter::Full, base_ms, cap_ms };
            let window = f64::from(base_ms) * 2f64.powi(i32::try_from(number).unwrap() - 1);
            prop_assert!(f64::from(backoff.delay_ms(number, last_ms, random)) <= window.min(f64::from(cap_ms)));
            let backoff = Backoff { jitter: Jitter::Decorrelated, ..backoff };
            prop_assert!((base_ms..=cap_ms).contains(&backoff.delay_ms(number, last_ms, random)));
        }
    }
}
