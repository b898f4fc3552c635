//! The faults of policies that happened last, for who asks the control API.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// More are in the log.
const KEPT: usize = 100;

/// A hook that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentFault {
    /// When it ended.
    pub time: SystemTime,
    /// The policy's name in the config.
    pub policy: String,
    /// The route.
    pub route: String,
    /// The hook.
    pub phase: &'static str,
    /// As the metrics name it.
    pub kind: &'static str,
    /// What happened, in one line.
    pub message: String,
    /// The guest's functions, the innermost first, if it was in one.
    pub backtrace: Option<String>,
    /// The request's id.
    pub request: String,
    /// `open` or `closed`.
    pub on_failure: &'static str,
}

/// The last 100 faults of the process.
#[derive(Debug, Default)]
pub struct RecentFaults(Mutex<VecDeque<RecentFault>>);

impl RecentFaults {
    /// Keeps a fault; the oldest goes if there are too many.
    pub fn keep(&self, fault: RecentFault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.truncate(KEPT - 1);
        faults.push_front(fault);
    }

    /// The newest first.
    pub fn list(&self) -> Vec<RecentFault> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_are_kept_the_newest_first() {
        let faults = RecentFaults::default();
        for number in 0..KEPT + 5 {
            faults.keep(RecentFault {
                time: SystemTime::UNIX_EPOCH,
                policy: String::new(),
                route: String::new(),
                phase: "on-request",
                kind: "trap",
                message: number.to_string(),
                backtrace: None,
                request: String::new(),
                on_failure: "closed",
            });
        }
        let kept = faults.list();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((&*kept[0].message, &*kept[KEPT - 1].message), ("104", "5"));
    }
}
