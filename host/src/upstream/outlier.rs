//! What an endpoint's answers to requests say of it, and how long it is left alone for that.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_config::{OutlierDetection, SuccessRate};

use super::moment::Moment;

/// One endpoint's outcomes and ejections. All workers count in it.
#[derive(Debug, Default)]
pub struct Outlier {
    failures_in_a_row: AtomicU32,
    window_start: AtomicU64,
    total: AtomicU32,
    failed: AtomicU32,
    ejected_until: AtomicU64,
    ejections: AtomicU32,
}

/// Why an endpoint should be ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// So many failures in a row.
    ConsecutiveFailures,
    /// Too few successes of many attempts.
    SuccessRate,
}

impl Suspicion {
    /// The word in metrics and logs: the config's.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::SuccessRate => "success_rate",
        }
    }
}

impl Outlier {
    /// Counts an attempt. What was sent before an ejection says nothing new.
    pub fn record(
        &self,
        succeeded: bool,
        settings: &OutlierDetection,
        now: Moment,
    ) -> Option<Suspicion> {
        if self.is_ejected(now) {
            return None;
        }
        let in_a_row = self.count_in_a_row(succeeded, settings.consecutive_failures);
        let rate = settings.success_rate.as_ref();
        in_a_row.or_else(|| self.count_in_window(succeeded, rate?, now))
    }

    fn count_in_a_row(&self, succeeded: bool, limit: u32) -> Option<Suspicion> {
        let failures = &self.failures_in_a_row;
        if succeeded {
            // Mostly there is nothing to change, and a read leaves the line in every core's cache.
            if failures.load(Ordering::Relaxed) > 0 {
                failures.store(0, Ordering::Relaxed);
            }
            return None;
        }
        let count = failures.fetch_add(1, Ordering::Relaxed) + 1;
        (count >= limit).then_some(Suspicion::ConsecutiveFailures)
    }

    /// The first attempt after the end of a window draws its conclusion.
    fn count_in_window(
        &self,
        succeeded: bool,
        rate: &SuccessRate,
        now: Moment,
    ) -> Option<Suspicion> {
        let start = Moment(self.window_start.load(Ordering::Relaxed));
        let mut suspicion = None;
        if now.since(start) >= rate.interval
            && self
                .window_start
                .compare_exchange(start.0, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let total = self.total.swap(0, Ordering::Relaxed);
            let failed = self.failed.swap(0, Ordering::Relaxed);
            suspicion = is_too_low(total, failed, rate).then_some(Suspicion::SuccessRate);
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        if !succeeded {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        suspicion
    }

    /// Leaves the endpoint alone from now on: how long. Each ejection in a row is longer; after a time
    /// of `max_ejection` without one, the first is short again.
    pub fn eject(&self, settings: &OutlierDetection, now: Moment) -> Duration {
        let quiet = now.since(self.ejected_until());
        let before = if quiet >= settings.max_ejection {
            0
        } else {
            self.ejections.load(Ordering::Relaxed)
        };
        let time = settings
            .base_ejection
            .saturating_mul(before + 1)
            .min(settings.max_ejection);
        self.ejections.store(before + 1, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.ejected_until
            .store(now.plus(time).0, Ordering::Relaxed);
        time
    }

    /// Whether it is left alone.
    pub fn is_ejected(&self, now: Moment) -> bool {
        self.ejected_until() > now
    }

    /// The end of the present or last ejection; never if there was none.
    pub fn ejected_until(&self) -> Moment {
        Moment(self.ejected_until.load(Ordering::Relaxed))
    }

    /// Ends an ejection.
    pub fn readmit(&self) {
        self.ejected_until.store(Moment::NEVER.0, Ordering::Relaxed);
    }
}

fn is_too_low(total: u32, failed: u32, rate: &SuccessRate) -> bool {
    let succeeded = u64::from(total.saturating_sub(failed));
    total >= rate.min_requests && succeeded * 100 < u64::from(total) * u64::from(rate.minimum)
}

/// Whether one endpoint more may be ejected.
pub fn may_eject(ejected: usize, endpoints: usize, max_percent: u32) -> bool {
    (ejected + 1) * 100 <= endpoints * max_percent as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;

    fn settings() -> OutlierDetection {
        OutlierDetection {
            consecutive_failures: 3,
            success_rate: Some(SuccessRate {
                minimum: 80,
                interval: Duration::from_secs(10),
                min_requests: 10,
            }),
            ..OutlierDetection::default()
        }
    }

    #[test]
    fn only_failures_in_a_row_raise_suspicion() {
        let outlier = Outlier::default();
        let now = Moment(SECOND);
        for succeeded in [false, false, true, false, false] {
            assert_eq!(outlier.record(succeeded, &settings(), now), None);
        }
        let last = outlier.record(false, &settings(), now);
        assert_eq!(last, Some(Suspicion::ConsecutiveFailures));
    }

    #[test]
    fn a_window_of_too_few_successes_raises_suspicion() {
        // Attempts and failures in a window, and whether its end raises suspicion.
        for (attempts, failures, is_suspect) in [
            (10, 2, false),
            (10, 3, true),
            (9, 9, false),
            (30, 6, false),
            (30, 7, true),
        ] {
            let outlier = Outlier::default();
            let settings = OutlierDetection {
                consecutive_failures: 100,
                ..settings()
            };
            let begin = Moment(20 * SECOND);
            for attempt in 0..attempts {
                let found = outlier.record(attempt >= failures, &settings, begin);
                assert_eq!(found, None, "the window has not ended");
            }
            let end = begin.plus(Duration::from_secs(10));
            let expected = is_suspect.then_some(Suspicion::SuccessRate);
            assert_eq!(
                outlier.record(true, &settings, end),
                expected,
                "{attempts} {failures}"
            );
        }
    }

    #[test]
    fn each_ejection_in_a_row_is_longer_up_to_the_longest() {
        let (outlier, settings) = (Outlier::default(), settings());
        let mut now = Moment(SECOND);
        for expected in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
            let time = outlier.eject(&settings, now);
            assert_eq!(time.as_secs(), expected);
            assert!(outlier.is_ejected(now));
            now = now.plus(time);
            assert!(!outlier.is_ejected(now));
        }
        now = now.plus(settings.max_ejection);
        assert_eq!(outlier.eject(&settings, now).as_secs(), 30);
    }

    #[test]
    fn what_ends_during_an_ejection_does_not_count() {
        let (outlier, settings) = (Outlier::default(), settings());
        let now = Moment(SECOND);
        outlier.eject(&settings, now);
        for _ in 0..10 {
            assert_eq!(outlier.record(false, &settings, now), None);
        }
        outlier.readmit();
        assert_eq!(outlier.record(false, &settings, now), None);
    }

    #[test]
    fn a_part_of_the_endpoints_may_be_ejected() {
        for (ejected, endpoints, percent, allowed) in [
            (0, 1, 50, false),
            (0, 1, 100, true),
            (0, 2, 50, true),
            (1, 2, 50, false),
            (0, 3, 33, false),
            (0, 3, 34, true),
            (4, 10, 50, true),
            (5, 10, 50, false),
        ] {
            assert_eq!(may_eject(ejected, endpoints, percent), allowed);
        }
    }
}
