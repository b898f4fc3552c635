//! How many requests of an HTTP/2 connection may be given up early.
//!
//! A request that the client resets at once costs it two small frames and the gateway a whole attempt
//! (rapid reset, CVE-2023-44487); the same holds where it makes the gateway reset its stream (CVE-2025-8671).

use std::cell::Cell;
use std::time::Duration;

/// A request that has lived longer has been served for its frames: gRPC clients end their long streams so.
const EARLY: Duration = Duration::from_secs(1);

/// Of one connection.
pub(super) struct ResetBudget {
    budget: u32,
    left: Cell<u32>,
}

impl ResetBudget {
    /// All of `budget` is left: of `limits.h2_resets`.
    pub(super) fn new(budget: u32) -> Self {
        let left = Cell::new(budget);
        Self { budget, left }
    }

    /// A request was answered to its end. A budget that is spent stays so.
    pub(super) fn answered(&self) {
        if !self.is_spent() {
            self.left.set(self.budget.min(self.left.get() + 1));
        }
    }

    /// A request was given up after that time.
    pub(super) fn given_up(&self, age: Duration) {
        if age < EARLY {
            self.left.set(self.left.get().saturating_sub(1));
        }
    }

    /// Whether the connection should be closed.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u32 = 200;

    #[test]
    fn early_resets_spend_it_and_answers_restore_it() {
        let budget = ResetBudget::new(BUDGET);
        for _ in 1..BUDGET {
            budget.given_up(Duration::ZERO);
            budget.given_up(EARLY);
        }
        assert!(!budget.is_spent());
        budget.answered();
        budget.given_up(Duration::ZERO);
        assert!(!budget.is_spent());
        budget.given_up(Duration::from_millis(999));
        assert!(budget.is_spent());
        budget.answered();
        assert!(budget.is_spent());
    }

    #[test]
    fn answers_save_up_no_more_than_there_was() {
        let budget = ResetBudget::new(BUDGET);
        (0..10_000).for_each(|_| budget.answered());
        (0..BUDGET).for_each(|_| budget.given_up(Duration::ZERO));
        assert!(budget.is_spent());
    }
}
