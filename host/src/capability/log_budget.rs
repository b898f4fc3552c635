//! How many lines a use of a policy may log: `limits.log_lines` a second, all workers together.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::telemetry::policy_use::LimitCounter;

/// A token bucket that holds a second's lines, full at first.
pub struct LogBudget {
    /// `limits.log_lines`.
    pub per_second: u32,
    refused: LimitCounter,
    inner: Mutex<Inner>,
}

struct Inner {
    lines: f64,
    filled: Instant,
    refused: u64,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may be written; so many were dropped since the last one that was.
    Granted {
        /// Lines.
        dropped: u64,
    },
    /// It is dropped.
    Refused,
}

impl LogBudget {
    /// Lines that are dropped are counted in `refused`.
    pub fn new(per_second: u32, refused: LimitCounter, now: Instant) -> Self {
        Self {
            per_second,
            refused,
            inner: Mutex::new(Inner {
                lines: per_second.into(),
                filled: now,
                refused: 0,
            }),
        }
    }

    /// Asks for one line; `allowed` says whether its hook may log more.
    pub fn take(&self, allowed: bool, now: Instant) -> Leave {
        let most = f64::from(self.per_second);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(inner.filled);
        inner.lines = (inner.lines + passed.as_secs_f64() * most).min(most);
        inner.filled = inner.filled.max(now);
        if !allowed || inner.lines < 1.0 {
            inner.refused += 1;
            self.refused.refused();
            return Leave::Refused;
        }
        inner.lines -= 1.0;
        let dropped = std::mem::take(&mut inner.refused);
        Leave::Granted { dropped }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn budget(per_second: u32, now: Instant) -> LogBudget {
        let metrics = Metrics::start().unwrap();
        let refused = metrics.policy_use("p", "r").bind_limit("log_lines");
        LogBudget::new(per_second, refused, now)
    }

    #[test]
    fn a_seconds_lines_are_there_at_once_and_come_back_with_time() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let budget = budget(2, start);
        let granted = |dropped| Leave::Granted { dropped };
        assert_eq!(budget.take(true, start), granted(0));
        assert_eq!(budget.take(true, start), granted(0));
        assert_eq!(budget.take(true, after(400)), Leave::Refused);
        assert_eq!(budget.take(true, after(499)), Leave::Refused);
        // What was dropped is told once.
        assert_eq!(budget.take(true, after(500)), granted(2));
        assert_eq!(budget.take(true, after(500)), Leave::Refused);
        // A rest is not saved up beyond a second's lines.
        assert_eq!(budget.take(true, after(60_000)), granted(1));
        assert_eq!(budget.take(false, after(60_000)), Leave::Refused);
        assert_eq!(budget.take(true, after(60_000)), granted(1));
        assert_eq!(budget.take(true, after(60_000)), Leave::Refused);
    }

    #[test]
    fn a_policy_that_may_log_nothing_logs_nothing() {
        let start = Instant::now();
        let budget = budget(0, start);
        assert_eq!(budget.take(true, start), Leave::Refused);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(budget.take(true, later), Leave::Refused);
    }
}
