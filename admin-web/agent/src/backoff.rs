//! How long a service that crashed is left alone, and when it is given up. Pure: the caller has the clock.

use std::time::Duration;

/// When a service that crashes is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The first pause; each further one is twice as long.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// A service that was healthy for so long begins anew.
    pub reset_after: Duration,
    /// How many crashes in a row are one too many; at least 1.
    pub give_up_after: u32,
}

/// The crashes of one service in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    restart: Restart,
    crashes: u32,
}

impl Backoff {
    /// Of a service that has not crashed yet.
    pub(crate) fn new(restart: Restart) -> Self {
        Self {
            restart,
            crashes: 0,
        }
    }

    /// It crashed after it had been healthy for so long: the pause before it is started again, `None` to give it up.
    pub(crate) fn crashed(&mut self, was_healthy: Duration) -> Option<Duration> {
        if was_healthy >= self.restart.reset_after {
            self.crashes = 0;
        }
        self.crashes += 1;
        if self.crashes >= self.restart.give_up_after {
            return None;
        }
        let doublings = self.crashes - 1;
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Some(
            self.restart
                .base
                .saturating_mul(factor)
                .min(self.restart.cap),
        )
    }

    /// Crashes in a row.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backoff(give_up_after: u32) -> Backoff {
        Backoff::new(Restart {
            base: SECOND,
            cap: 5 * SECOND,
            reset_after: 10 * SECOND,
            give_up_after,
        })
    }

    #[test]
    fn pauses_double_up_to_the_cap_until_it_is_given_up() {
        let mut backoff = backoff(6);
        let pauses: Vec<_> = (0..6).map(|_| backoff.crashed(SECOND)).collect();
        let seconds = [1, 2, 4, 5, 5].map(|seconds| Some(seconds * SECOND));
        assert_eq!(pauses[..5], seconds);
        assert_eq!(pauses[5], None);
    }

    #[test]
    fn a_service_that_was_well_for_a_while_begins_anew() {
        let mut backoff = backoff(3);
        assert_eq!(backoff.crashed(Duration::ZERO), Some(SECOND));
        assert_eq!(backoff.crashed(10 * SECOND), Some(SECOND));
        assert_eq!(backoff.crashed(9 * SECOND), Some(2 * SECOND));
        assert_eq!(backoff.crashes(), 2);
        assert_eq!(backoff.crashed(Duration::ZERO), None);
    }

    #[test]
    fn any_number_of_crashes_has_a_pause() {
        let mut backoff = backoff(u32::MAX);
        for _ in 0..100 {
            assert!(backoff.crashed(Duration::ZERO) <= Some(5 * SECOND));
        }
        assert_eq!(backoff.crashed(Duration::ZERO), Some(5 * SECOND));
    }

    #[test]
    fn one_crash_is_too_many_where_the_file_says_so() {
        assert_eq!(backoff(1).crashed(Duration::ZERO), None);
    }
}
