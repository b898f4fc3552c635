//! When answers to health checks change what is thought of an endpoint.

use portcullis_config::HealthCheck;

/// Answers of one endpoint that contradict what is thought of it, as long as they come in a row.
#[derive(Debug)]
pub struct HealthStreak {
    healthy: bool,
    contradictions: u32,
}

impl HealthStreak {
    /// What is thought so far.
    pub fn new(healthy: bool) -> Self {
        Self {
            healthy,
            contradictions: 0,
        }
    }

    /// Takes an answer in; true if what is thought has changed.
    pub fn record(&mut self, good: bool, check: &HealthCheck) -> bool {
        if good == self.healthy {
            self.contradictions = 0;
            return false;
        }
        self.contradictions += 1;
        let enough = if self.healthy {
            check.unhealthy_after
        } else {
            check.healthy_after
        };
        if self.contradictions < enough {
            return false;
        }
        *self = Self::new(good);
        true
    }

    /// What is thought.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_config::Probe;

    use super::*;

    #[test]
    fn only_enough_answers_in_a_row_change_anything() {
        let check = HealthCheck {
            probe: Probe::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            host: None,
        };
        // Bad and good answers, and what is thought after each.
        let mut streak = HealthStreak::new(true);
        for (answers, thought) in [
            ("..+..+", "++++++"),
            ("...", "++-"),
            (".+.+", "----"),
            ("++", "++"),
            ("...++", "++--+"),
        ] {
            for (answer, healthy) in answers.chars().zip(thought.chars()) {
                let before = streak.is_healthy();
                let changed = streak.record(answer == '+', &check);
                assert_eq!(changed, before != streak.is_healthy());
                assert_eq!(streak.is_healthy(), healthy == '+', "{answers}");
            }
        }
    }
}
