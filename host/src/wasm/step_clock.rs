//! The time of a hook that runs as long as a body streams: only what passes while the guest, or the host
//! for it, works is counted, and anew for each step of the body.

use std::time::{Duration, Instant};

/// Stands still while the guest waits for its peers.
#[derive(Debug, Default)]
pub struct StepClock {
    /// Counted in all, up to the last rest.
    total: Duration,
    /// Counted in this step, up to the last rest.
    step: Duration,
    /// Since when it runs.
    since: Option<Instant>,
}

impl StepClock {
    /// The guest goes on.
    pub fn run(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The guest waits.
    pub fn rest(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            let worked = now.saturating_duration_since(since);
            self.total += worked;
            self.step += worked;
        }
    }

    /// Some of the body has moved on.
    pub fn step(&mut self) {
        self.step = Duration::ZERO;
    }

    /// When a step that may take `time` has taken it; `None` while the guest waits.
    pub fn runs_out(&self, time: Duration) -> Option<Instant> {
        let since = self.since?;
        Some(since + time.saturating_sub(self.step))
    }

    /// All that was counted.
    pub fn total(&self, now: Instant) -> Duration {
        let since = self.since.map(|since| now.saturating_duration_since(since));
        self.total + since.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_do_not_count_and_steps_count_anew() {
        const TIME: Duration = Duration::from_secs(10);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = StepClock::default();
        assert_eq!(clock.runs_out(TIME), None);
        clock.run(at(0));
        assert_eq!(clock.runs_out(TIME), Some(at(10)));
        clock.rest(at(4));
        assert_eq!(clock.runs_out(TIME), None);
        clock.run(at(100));
        assert_eq!(clock.runs_out(TIME), Some(at(106)));
        clock.rest(at(101));
        clock.step();
        clock.run(at(200));
        assert_eq!(clock.runs_out(TIME), Some(at(210)));
        assert_eq!(clock.total(at(203)), Duration::from_secs(8));
    }
}
