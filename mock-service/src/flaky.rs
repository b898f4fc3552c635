//! The attempts under way on flaky paths, by key: who failed how often, and when.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// How many keys may be under way; at the limit all are forgotten, so that a client who makes up
/// keys does not fill the memory.
const MAX_KEYS: usize = 10_000;

/// The attempts of one mock service.
#[derive(Debug, Default)]
pub(crate) struct FlakyKeys(Mutex<HashMap<String, Vec<Instant>>>);

/// What becomes of one attempt.
#[derive(Debug, PartialEq)]
pub(crate) enum Attempt {
    /// It fails; it is the nth of its round, from 1.
    Fails(usize),
    /// It succeeds; the times of all attempts of the round, this one last.
    Succeeds(Vec<Instant>),
}

impl FlakyKeys {
    /// Counts an attempt made at this time. A success ends the round of its key.
    pub(crate) fn attempt(&self, key: &str, failures: usize, now: Instant) -> Attempt {
        let mut keys = self.lock();
        if keys.len() >= MAX_KEYS && !keys.contains_key(key) {
            keys.clear();
        }
        let mut times = keys.remove(key).unwrap_or_default();
        times.push(now);
        if times.len() > failures {
            return Attempt::Succeeds(times);
        }
        let nth = times.len();
        keys.insert(key.to_owned(), times);
        Attempt::Fails(nth)
    }

    /// Forgets all attempts.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fails_as_often_as_asked_then_succeeds_and_begins_again() {
        let keys = FlakyKeys::default();
        let now = Instant::now();
        for _ in 0..2 {
            assert_eq!(keys.attempt("a", 2, now), Attempt::Fails(1));
            assert_eq!(keys.attempt("b", 0, now), Attempt::Succeeds(vec![now]));
            assert_eq!(keys.attempt("a", 2, now), Attempt::Fails(2));
            assert_eq!(keys.attempt("a", 2, now), Attempt::Succeeds(vec![now; 3]));
        }
    }

    #[test]
    fn made_up_keys_do_not_grow_without_limit() {
        let keys = FlakyKeys::default();
        let now = Instant::now();
        for n in 0..=MAX_KEYS {
            keys.attempt(&n.to_string(), 1, now);
        }
        assert_eq!(keys.lock().len(), 1);
    }
}
