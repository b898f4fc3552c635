//! The scripts that tests wrote: per path, the steps still to take.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::step::{STATUSES, Step};

/// The scripts of one mock service, by exact path.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Mutex<HashMap<String, VecDeque<Step>>>);

impl Scripts {
    /// Replaces the script of a path; no steps means no script. Panics on an impossible status,
    /// so that the mistake shows in the test that made it.
    pub(crate) fn write(&self, path: &str, steps: Vec<Step>) {
        for status in steps.iter().filter_map(Step::named_status) {
            assert!(
                STATUSES.contains(&status),
                "script for {path}: status {status} is not from {} to {}",
                STATUSES.start(),
                STATUSES.end(),
            );
        }
        if steps.is_empty() {
            self.lock().remove(path);
        } else {
            self.lock().insert(path.to_owned(), steps.into());
        }
    }

    /// The next step for a path. The last one stays and repeats.
    pub(crate) fn next(&self, path: &str) -> Option<Step> {
        let mut scripts = self.lock();
        let steps = scripts.get_mut(path)?;
        if steps.len() > 1 {
            steps.pop_front()
        } else {
            steps.front().cloned()
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Step>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_in_order_and_the_last_repeats() {
        let scripts = Scripts::default();
        scripts.write("/a", vec![Step::Status(503), Step::Status(200)]);
        let taken: Vec<_> = (0..3)
            .map(|_| scripts.next("/a").and_then(|step| step.named_status()))
            .collect();
        assert_eq!(taken, [Some(503), Some(200), Some(200)]);
        assert!(scripts.next("/b").is_none());
    }

    #[test]
    fn an_empty_script_removes_the_script() {
        let scripts = Scripts::default();
        scripts.write("/a", vec![Step::Close]);
        scripts.write("/a", Vec::new());
        assert!(scripts.next("/a").is_none());
    }

    #[test]
    #[should_panic(expected = "script for /a: status 99 is not from 200 to 599")]
    fn an_impossible_status_is_refused_at_once() {
        let delayed = Step::Status(99).after(std::time::Duration::ZERO);
        Scripts::default().write("/a", vec![delayed]);
    }
}
