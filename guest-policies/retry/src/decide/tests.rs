//! The verdict table, the wait's bounds, and what no answer may ever ask for.

use proptest::prelude::*;

use super::*;
use crate::backoff::Jitter;
use crate::condition::{Condition, Failure};

fn rules() -> Rules {
    Rules {
        attempts: 3,
        on: ["connect_failure", "reset", "503"]
            .iter()
            .filter_map(|word| Condition::parse(word))
            .collect(),
        backoff: Backoff {
            jitter: Jitter::Full,
            base_ms: 50,
            cap_ms: 1_000,
        },
        retry_after_cap_ms: 10_000,
    }
}

const FIRST: Facts = Facts {
    number: 1,
    remaining_ms: Some(5_000),
    sent: true,
    idempotent: true,
    replayable: true,
};

fn asked(asked_ms: u64, random: u64) -> Wait {
    Wait {
        asked_ms,
        random,
        ..Wait::default()
    }
}

#[test]
fn listed_outcomes_concern_it_and_others_are_left_to_the_next_policy() {
    for (outcome, expected) in [
        (Outcome::Status(503), true),
        (Outcome::Failed(Failure::Connect), true),
        (Outcome::Failed(Failure::Reset), true),
        (Outcome::Failed(Failure::Timeout), false),
        (Outcome::Failed(Failure::Other), false),
        (Outcome::Status(200), false),
        (Outcome::Status(500), false),
    ] {
        assert_eq!(rules().concern(outcome), expected, "{outcome:?}");
    }
}

#[test]
fn a_retry_needs_attempts_left_a_body_and_a_safe_repetition() {
    let (first, unsafe_method) = (
        FIRST,
        Facts {
            idempotent: false,
            ..FIRST
        },
    );
    for (facts, expected) in [
        (Facts { number: 2, ..first }, Ok(())),
        (Facts { number: 3, ..first }, Err(Refusal::AttemptsUsed)),
        (Facts { number: 4, ..first }, Err(Refusal::AttemptsUsed)),
        (
            Facts {
                replayable: false,
                ..first
            },
            Err(Refusal::NotReplayable),
        ),
        (unsafe_method, Err(Refusal::NotIdempotent)),
        (
            Facts {
                sent: false,
                ..unsafe_method
            },
            Ok(()),
        ),
    ] {
        assert_eq!(rules().permit(&facts), expected, "{facts:?}");
    }
}

#[test]
fn retry_after_comes_first_and_the_jitter_on_top() {
    let unhurried = Facts {
        remaining_ms: None,
        ..FIRST
    };
    for (asked_ms, random, expected) in [
        (0, 0, Ok((0, 0))),
        (2_000, 0, Ok((0, 2_000))),
        (2_000, u64::MAX, Ok((50, 2_050))),
        (10_000, u64::MAX, Ok((50, 10_050))),
        (10_001, 0, Err(Refusal::RetryAfterTooLong)),
        (u64::MAX, 0, Err(Refusal::RetryAfterTooLong)),
    ] {
        let wait = asked(asked_ms, random);
        assert_eq!(rules().delay(&unhurried, &wait), expected, "{asked_ms}");
    }
}

#[test]
fn a_wait_that_reaches_the_deadline_is_none() {
    for (remaining_ms, asked_ms, expected) in [
        (Some(5_001), 5_000, Ok((0, 5_000))),
        (Some(5_000), 5_000, Err(Refusal::NoTimeLeft)),
        (Some(0), 0, Err(Refusal::NoTimeLeft)),
        (None, 5_000, Ok((0, 5_000))),
    ] {
        let facts = Facts {
            remaining_ms,
            ..FIRST
        };
        assert_eq!(rules().delay(&facts, &asked(asked_ms, 0)), expected);
    }
}

proptest! {
    #[test]
    fn a_wait_is_never_longer_than_the_rules_allow(
        number in 1u32..12,
        remaining_ms in prop::option::of(0u32..3_000),
        asked_ms in 0u64..20_000,
        last_ms: Option<u32>,
        random: u64,
    ) {
        let facts = Facts { number, remaining_ms, ..FIRST };
        let wait = Wait { asked_ms, last_ms, random };
        if let Ok((backoff_ms, delay_ms)) = rules().delay(&facts, &wait) {
            prop_assert!(remaining_ms.is_none_or(|remaining_ms| delay_ms < remaining_ms));
            prop_assert!(u64::from(delay_ms) == asked_ms + u64::from(backoff_ms) && delay_ms <= 11_000);
        }
    }
}
