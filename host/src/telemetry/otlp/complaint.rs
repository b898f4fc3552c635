//! What the log is told of a collector that does not take what it is sent: at once, then seldom.

use std::time::{Duration, Instant};

/// A failing collector is told of once in this time.
const INTERVAL: Duration = Duration::from_mins(1);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Complaint(Option<Instant>);

impl Complaint {
    /// Whether a failure at `now` is to be told.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now - last >= INTERVAL);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }

    /// Whether there was one: all is well again.
    pub(super) fn withdraw(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_of_once_a_minute_until_it_is_over() {
        let (start, mut complaint) = (Instant::now(), Complaint::default());
        assert!(!complaint.withdraw());
        for (seconds, is_due) in [(0, true), (1, false), (59, false), (60, true), (61, false)] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(complaint.is_due(now), is_due, "{seconds}");
        }
        assert!(complaint.withdraw());
        assert!(complaint.is_due(start));
    }
}
