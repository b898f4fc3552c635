//! How the rate goes up and down. Pure: a function of time.

use std::f64::consts::TAU;
use std::time::Duration;

/// In each so long there is one burst, at its start.
const BURST_PERIOD: f64 = 10.0;

/// How long a burst lasts.
const BURST_LENGTH: f64 = 2.0;

/// The rate in a burst, as a multiple of the mean rate: half of all requests come in a fifth of the time.
const BURST_HEIGHT: f64 = 2.5;

/// How far the rate of a day goes from its mean, as a part of it: nearly nobody at night, nearly twice as many at noon.
const DAY_SWING: f64 = 0.9;

/// How the rate goes up and down around its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// It stays.
    Steady,
    /// Of each ten seconds the first two have half of the requests.
    Burst,
    /// A wave as long as this, which stands for a day and begins at six in the morning.
    Diurnal(Duration),
}

impl Pattern {
    /// The rate at this time after the start, in seconds, as a multiple of the mean rate.
    pub(super) fn height_at(self, seconds: f64) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Burst if seconds % BURST_PERIOD < BURST_LENGTH => BURST_HEIGHT,
            Self::Burst => {
                (BURST_PERIOD - BURST_HEIGHT * BURST_LENGTH) / (BURST_PERIOD - BURST_LENGTH)
            }
            Self::Diurnal(day) => 1.0 + DAY_SWING * (TAU * seconds / day.as_secs_f64()).sin(),
        }
    }

    /// The most that [`Pattern::height_at`] can be.
    pub(super) fn highest(self) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Burst => BURST_HEIGHT,
            Self::Diurnal(_) => 1.0 + DAY_SWING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(240);

    /// The mean over `length` seconds, by the sum of many thin slices.
    fn mean(pattern: Pattern, length: f64) -> f64 {
        let slices = 1_000_000;
        let at = |slice: u32| (f64::from(slice) + 0.5) * length / f64::from(slices);
        let sum: f64 = (0..slices).map(|slice| pattern.height_at(at(slice))).sum();
        sum / f64::from(slices)
    }

    #[test]
    fn the_mean_over_a_period_is_the_rate() {
        for (pattern, period) in [
            (Pattern::Steady, 7.0),
            (Pattern::Burst, 10.0),
            (Pattern::Diurnal(DAY), 240.0),
        ] {
            let mean = mean(pattern, period);
            assert!((mean - 1.0).abs() < 1e-4, "{pattern:?}: {mean}");
        }
    }

    #[test]
    fn a_burst_has_half_of_the_requests_and_a_day_its_noon_and_night() {
        let in_burst = mean(Pattern::Burst, 2.0) * 2.0;
        assert!((in_burst - 5.0).abs() < 1e-3, "{in_burst}");
        let day = |hour: f64| Pattern::Diurnal(DAY).height_at((hour - 6.0) * 10.0);
        assert!((day(6.0) - 1.0).abs() < 1e-9);
        assert!((day(12.0) - 1.9).abs() < 1e-9);
        assert!((day(24.0) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn it_is_never_above_its_highest_nor_below_nothing() {
        for pattern in [Pattern::Steady, Pattern::Burst, Pattern::Diurnal(DAY)] {
            for tenth in 0..5_000 {
                let height = pattern.height_at(f64::from(tenth) / 10.0);
                assert!(
                    height >= 0.0 && height <= pattern.highest(),
                    "{pattern:?} {tenth}"
                );
            }
        }
    }
}
