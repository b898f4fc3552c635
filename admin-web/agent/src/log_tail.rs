//! The last lines that a service printed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps the newest lines; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct LogTail {
    lines: Arc<Mutex<VecDeque<String>>>,
    capacity: usize,
}

impl LogTail {
    /// At most `capacity` lines.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lines: Arc::default(),
            capacity,
        }
    }

    /// Takes a line in, and the oldest out when there is no room.
    pub(crate) fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.len() > self.capacity {
            lines.pop_front();
        }
    }

    /// The newest `count` lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(count);
        lines.iter().skip(skipped).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept() {
        let tail = LogTail::new(3);
        let same = tail.clone();
        for line in ["a", "b", "c", "d"] {
            tail.push(line.to_owned());
        }
        assert_eq!(same.last(9), ["b", "c", "d"]);
        assert_eq!(same.last(2), ["c", "d"]);
        let none = LogTail::new(0);
        none.push("a".to_owned());
        assert!(none.last(1).is_empty());
    }
}
