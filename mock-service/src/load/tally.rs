//! Counts of what became of requests, and how long it took.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use hdrhistogram::Histogram;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Answered whole, with this status.
    Answered(u16),
    /// No connection.
    NotConnected,
    /// The connection ended before the answer did.
    Broken,
    /// Not answered in time.
    TimedOut,
}

/// Counts of some time.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Requests that were due while all connections had one under way.
    pub(super) skipped: u64,
    fates: BTreeMap<Fate, u64>,
    /// Of those that were answered, in µs.
    latencies: Histogram<u64>,
}

/// Longer is not told apart: a minute.
const LONGEST_MICROS: u64 = 60_000_000;

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            skipped: 0,
            fates: BTreeMap::new(),
            // Two digits hold quantiles to 1 %.
            latencies: Histogram::new_with_bounds(1, LONGEST_MICROS, 2)
                .expect("these bounds are valid"),
        }
    }

    pub(super) fn count(&mut self, fate: Fate, took: Duration) {
        *self.fates.entry(fate).or_default() += 1;
        if let Fate::Answered(_) = fate {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(micros.max(1));
        }
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.skipped += other.skipped;
        for (fate, count) in &other.fates {
            *self.fates.entry(*fate).or_default() += count;
        }
        self.latencies
            .add(&other.latencies)
            .expect("all have the same bounds");
    }

    /// The quantile from 0 to 1; zero without answers.
    fn latency(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(quantile))
    }
}

/// One line: `sent 203  200 190  429 10  timeout 3  skipped 0  p50 1.2ms p90 3.4ms p99 8ms max 21ms`.
impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {}", self.sent)?;
        for (fate, count) in &self.fates {
            write!(f, "  {fate} {count}")?;
        }
        write!(f, "  skipped {}", self.skipped)?;
        if !self.latencies.is_empty() {
            let millis = |quantile| self.latency(quantile).as_secs_f64() * 1_000.0;
            let (p50, p90, p99, max) = (millis(0.5), millis(0.9), millis(0.99), millis(1.0));
            write!(
                f,
                "  p50 {p50:.1}ms p90 {p90:.1}ms p99 {p99:.1}ms max {max:.1}ms"
            )?;
        }
        Ok(())
    }
}

impl Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "{status}"),
            Self::NotConnected => f.write_str("not-connected"),
            Self::Broken => f.write_str("broken"),
            Self::TimedOut => f.write_str("timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_counts_and_quantiles() {
        let mut tally = Tally::new();
        assert_eq!(tally.to_string(), "sent 0  skipped 0");
        tally.sent = 101;
        tally.skipped = 2;
        for millis in 1..=99 {
            tally.count(Fate::Answered(200), Duration::from_millis(millis));
        }
        tally.count(Fate::Answered(429), Duration::from_millis(100));
        tally.count(Fate::TimedOut, Duration::from_secs(10));
        let line = tally.to_string();
        assert!(
            line.starts_with("sent 101  200 99  429 1  timeout 1  skipped 2  p50 50."),
            "{line}"
        );
        let mut both = Tally::new();
        both.add(&tally);
        both.add(&tally);
        assert!(
            both.to_string()
                .starts_with("sent 202  200 198  429 2  timeout 2  skipped 4  p50 50."),
            "{both}"
        );
    }

    #[test]
    fn any_latency_is_counted() {
        let mut tally = Tally::new();
        tally.count(Fate::Answered(200), Duration::ZERO);
        tally.count(Fate::Answered(200), Duration::MAX);
        assert!(tally.latency(1.0) >= Duration::from_micros(LONGEST_MICROS));
    }
}
