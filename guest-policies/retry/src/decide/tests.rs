//! The verdict table, the backoff's bounds, and what no answer may ever ask for.

use proptest::prelude::*;

use super::*;
use crate::condition::{Condition, Failure};

fn rules() -> Rules {
    Rules {
        attempts: 3,
        on: ["connect_failure", "reset", "503"]
            .iter()
            .filter_map(|word| Condition::parse(word))
            .collect(),
        base_ms: 50,
        cap_ms: 1_000,
        retry_after_cap_ms: 10_000,
    }
}

fn facts(outcome: Outcome) -> Facts {
    Facts {
        number: 1,
        outcome,
        remaining_ms: Some(5_000),
        sent: true,
        idempotent: true,
        replayable: true,
    }
}

const UNAVAILABLE: Outcome = Outcome::Status(503);

#[test]
fn listed_outcomes_are_retried_and_others_left_to_the_next_policy() {
    for (outcome, expected) in [
        (UNAVAILABLE, Verdict::Retry(0)),
        (Outcome::Failed(Failure::Connect), Verdict::Retry(0)),
        (Outcome::Failed(Failure::Reset), Verdict::Retry(0)),
        (Outcome::Failed(Failure::Timeout), Verdict::Abstain),
        (Outcome::Failed(Failure::Other), Verdict::Abstain),
        (Outcome::Status(200), Verdict::Abstain),
        (Outcome::Status(500), Verdict::Abstain),
    ] {
        assert_eq!(
            rules().decide(&facts(outcome), None, 0),
            expected,
            "{outcome:?}"
        );
    }
}

#[test]
fn a_retry_needs_attempts_left_a_body_and_a_safe_repetition() {
    let first = facts(UNAVAILABLE);
    for (facts, expected) in [
        (Facts { number: 2, ..first }, Verdict::Retry(0)),
        (Facts { number: 3, ..first }, Verdict::Deliver),
        (Facts { number: 4, ..first }, Verdict::Deliver),
        (
            Facts {
                replayable: false,
                ..first
            },
            Verdict::Deliver,
        ),
        (
            Facts {
                idempotent: false,
                ..first
            },
            Verdict::Deliver,
        ),
        (
            Facts {
                idempotent: false,
                sent: false,
                ..first
            },
            Verdict::Retry(0),
        ),
        (
            Facts {
                remaining_ms: Some(0),
                ..first
            },
            Verdict::Deliver,
        ),
        (
            Facts {
                remaining_ms: None,
                ..first
            },
            Verdict::Retry(0),
        ),
    ] {
        assert_eq!(rules().decide(&facts, None, 0), expected, "{facts:?}");
    }
}

#[test]
fn retry_after_is_waited_for_up_to_the_cap() {
    let unhurried = Facts {
        remaining_ms: None,
        ..facts(UNAVAILABLE)
    };
    for (value, expected) in [
        ("0", Verdict::Retry(0)),
        ("2", Verdict::Retry(2_000)),
        (" 10 ", Verdict::Retry(10_000)),
        ("11", Verdict::Deliver),
        ("99999999999999999999999", Verdict::Deliver),
        ("Wed, 21 Oct 2026 07:28:00 GMT", Verdict::Retry(0)),
        ("-1", Verdict::Retry(0)),
        ("1.5", Verdict::Retry(0)),
        ("", Verdict::Retry(0)),
    ] {
        assert_eq!(
            rules().decide(&unhurried, Some(value), 0),
            expected,
            "{value:?}"
        );
    }
    assert_eq!(
        rules().decide(&unhurried, Some("2"), u64::MAX),
        Verdict::Retry(2_050)
    );
    assert_eq!(
        rules().decide(&facts(UNAVAILABLE), Some("5"), 0),
        Verdict::Deliver
    );
}

#[test]
fn the_window_doubles_up_to_the_cap_and_both_ends_are_reached() {
    for (number, window_ms) in [
        (1, 50),
        (2, 100),
        (3, 200),
        (5, 800),
        (6, 1_000),
        (40, 1_000),
        (u32::MAX, 1_000),
    ] {
        assert_eq!(rules().backoff_ms(number, 0), 0);
        assert_eq!(rules().backoff_ms(number, u64::MAX), window_ms, "{number}");
        assert_eq!(
            rules().backoff_ms(number, 1 << 63),
            window_ms.div_ceil(2),
            "{number}"
        );
    }
}

proptest! {
    #[test]
    fn no_delay_leaves_its_window(
        number in 1u32..50, base_ms in 1u32..100_000, more in 0u32..100_000, random: u64,
    ) {
        let rules = Rules { base_ms, cap_ms: base_ms + more, ..rules() };
        let window = (f64::from(base_ms) * 2f64.powi(i32::try_from(number).unwrap() - 1)).min(f64::from(rules.cap_ms));
        prop_assert!(f64::from(rules.backoff_ms(number, random)) <= window);
    }

    #[test]
    fn a_retry_is_never_asked_for_against_the_rules(
        number in 1u32..12,
        attempts in 1u32..=10,
        status in 400u16..600,
        remaining_ms in prop::option::of(0u32..3_000),
        (sent, idempotent, replayable) in any::<(bool, bool, bool)>(),
        retry_after in prop::option::of(0u32..20),
        random: u64,
    ) {
        let rules = Rules { attempts, ..rules() };
        let facts = Facts { number, outcome: Outcome::Status(status), remaining_ms, sent, idempotent, replayable };
        let field = retry_after.map(|seconds| seconds.to_string());
        if let Verdict::Retry(delay_ms) = rules.decide(&facts, field.as_deref(), random) {
            prop_assert_eq!(status, 503);
            prop_assert!(number < attempts && replayable && (idempotent || !sent));
            prop_assert!(remaining_ms.is_none_or(|remaining_ms| delay_ms < remaining_ms));
            prop_assert!(delay_ms >= retry_after.unwrap_or(0) * 1_000 && delay_ms <= 11_000);
        }
    }
}
