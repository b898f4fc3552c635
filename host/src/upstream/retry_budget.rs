//! How many retries an upstream is sent beside its requests.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_config::RetryBudget as Settings;

use super::moment::Moment;

/// What may be saved, in thousandths of a retry: a hundred retries. So an upstream that was well for
/// days is not flooded in its first bad second.
const MAX_SAVED: u64 = 100 * RETRY;
/// One retry.
const RETRY: u64 = 1_000;

/// The budget of one upstream, for all workers: each request pays a part of a retry into it, each
/// retry takes a whole one; beside that, a few retries a second are free. So in any time the upstream
/// is sent at most `ratio` × requests + `min_retries_per_second` × (seconds + 1) retries, and what was
/// saved before. As Finagle's `RetryBudget` has it.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// In thousandths of a retry.
    saved: AtomicU64,
    /// When the free retries that were taken so far have come about, in microseconds of [`Moment`]: the
    /// theoretical arrival time of GCRA.
    free_until: AtomicU64,
}

impl RetryBudget {
    /// A request is sent for the first time. When enough is saved, this is one read.
    pub fn deposit(&self, settings: &Settings) {
        if self.saved.load(Ordering::Relaxed) < MAX_SAVED {
            self.saved
                .fetch_add(u64::from(settings.ratio_millis), Ordering::Relaxed);
        }
    }

    /// Takes a retry out, if there is one.
    pub fn withdraw(&self, settings: &Settings, now: Moment) -> bool {
        let rest = |saved: u64| saved.checked_sub(RETRY);
        let paid = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        paid.is_ok() || self.withdraw_free(settings.min_retries_per_second, now)
    }

    fn withdraw_free(&self, per_second: u32, now: Moment) -> bool {
        const SECOND_MICROS: u64 = 1_000_000;
        let Some(each) = SECOND_MICROS.checked_div(u64::from(per_second)) else {
            return false;
        };
        let now = now.0.saturating_mul(1_000);
        let next = |until: u64| {
            let until = until.max(now) + each;
            (until <= now + SECOND_MICROS).then_some(until)
        };
        let taken = self
            .free_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SETTINGS: Settings = Settings {
        ratio_millis: 200,
        min_retries_per_second: 10,
    };

    fn withdrawn(budget: &RetryBudget, settings: &Settings, tries: u32, now: Moment) -> u32 {
        (0..tries)
            .map(|_| u32::from(budget.withdraw(settings, now)))
            .sum()
    }

    #[test]
    fn retries_are_a_fifth_of_the_requests_and_ten_a_second() {
        let budget = RetryBudget::default();
        let mut now = Moment(1_000);
        let mut total = 0;
        for second in 0..20 {
            for _ in 0..100 {
                budget.deposit(&SETTINGS);
            }
            let retries = withdrawn(&budget, &SETTINGS, 100, now);
            assert_eq!(retries, 30, "{second}");
            total += retries;
            now = now.plus(Duration::from_secs(1));
        }
        assert!(total <= 2_000 / 5 + 10 * 21);
    }

    #[test]
    fn free_retries_come_back_with_time() {
        let budget = RetryBudget::default();
        let now = Moment(1_000);
        for (after_ms, expected) in [(0, 10), (50, 0), (100, 1), (350, 2), (10_000, 10)] {
            let later = now.plus(Duration::from_millis(after_ms));
            assert_eq!(
                withdrawn(&budget, &SETTINGS, 50, later),
                expected,
                "{after_ms}"
            );
        }
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let budget = RetryBudget::default();
        for _ in 0..100_000 {
            budget.deposit(&SETTINGS);
        }
        assert_eq!(withdrawn(&budget, &SETTINGS, 1_000, Moment(1)), 110);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let nothing = Settings {
            ratio_millis: 0,
            min_retries_per_second: 0,
        };
        let budget = RetryBudget::default();
        budget.deposit(&nothing);
        assert!(!budget.withdraw(&nothing, Moment(1)));
    }
}
