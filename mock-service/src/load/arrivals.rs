//! When requests come: a Poisson process whose rate follows a pattern. Pure: the caller has the clock.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::pattern::Pattern;

/// The times of all requests after the start, in order, without end.
///
/// By thinning (Lewis and Shedler 1979): times at the pattern's highest rate, of which each is taken with the share that the rate at that
/// time has of the highest.
#[derive(Debug)]
pub struct Arrivals<R> {
    pattern: Pattern,
    /// Requests a second at the pattern's highest.
    highest_rate: f64,
    /// Seconds after the start.
    at: f64,
    random: R,
}

impl<R: Rng> Arrivals<R> {
    /// `rate` requests a second on the average; it must be above 0.
    pub fn new(pattern: Pattern, rate: f64, random: R) -> Self {
        Self {
            pattern,
            highest_rate: rate * pattern.highest(),
            at: 0.0,
            random,
        }
    }
}

impl<R: Rng> Iterator for Arrivals<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            // 1 - u is never 0, so that its logarithm is finite.
            let gap = -(1.0 - self.random.random::<f64>()).ln() / self.highest_rate;
            self.at += gap;
            let share = self.pattern.height_at(self.at) / self.pattern.highest();
            if self.random.random::<f64>() < share {
                return Some(Duration::from_secs_f64(self.at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    const PATTERNS: [Pattern; 3] = [
        Pattern::Steady,
        Pattern::Burst,
        Pattern::Diurnal(Duration::from_secs(100)),
    ];

    fn arrivals(pattern: Pattern, rate: f64, seed: u64) -> Arrivals<Xoshiro256PlusPlus> {
        Arrivals::new(pattern, rate, Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The oracle: in each window the number of arrivals is that of a Poisson distribution whose mean is the rate's integral.
    #[test]
    fn each_second_has_as_many_as_the_pattern_says() {
        for pattern in PATTERNS {
            let rate = 400.0;
            let mut counts = [0_u32; 100];
            for at in arrivals(pattern, rate, 7).take_while(|at| at.as_secs() < 100) {
                counts[at.as_secs() as usize] += 1;
            }
            for (second, count) in counts.into_iter().enumerate() {
                let slice =
                    |step: u32| pattern.height_at(second as f64 + (f64::from(step) + 0.5) / 100.0);
                let expected = rate * (0..100).map(slice).sum::<f64>() / 100.0;
                // Five standard deviations of a Poisson distribution; more than one in a million by chance.
                let off = (f64::from(count) - expected).abs() / expected.sqrt();
                assert!(
                    off < 5.0,
                    "{pattern:?} second {second}: {count} for {expected}"
                );
            }
        }
    }

    /// Gaps of a Poisson process have a standard deviation as large as their mean; evenly spaced ones would have none.
    #[test]
    fn gaps_are_those_of_independent_arrivals() {
        let times: Vec<f64> = arrivals(Pattern::Steady, 50.0, 3)
            .take(20_000)
            .map(|at| at.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 0.02).abs() < 0.0006, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn a_seed_gives_the_same_times_and_another_seed_others() {
        for pattern in PATTERNS {
            let times = |seed| arrivals(pattern, 10.0, seed).take(100).collect::<Vec<_>>();
            assert_eq!(times(1), times(1));
            assert_ne!(times(1), times(2));
            assert!(times(1).is_sorted());
        }
    }
}
