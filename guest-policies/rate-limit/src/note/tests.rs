//! A note refuses only what the store would refuse, and never holds more than a lease.

use proptest::prelude::*;

use super::*;
use crate::gcra::Rate;

fn demand(rate: Rate, cost: u32, lease: u32) -> Demand {
    Demand {
        key: String::new(),
        rate,
        cost,
        lease,
        is_shadow: false,
    }
}

/// One unit a second, five at once.
fn slow() -> Rate {
    Rate::new(1, 1_000_000, 5)
}

fn refused(wait_us: u64) -> Standing {
    Standing {
        allowed: false,
        remaining: 0,
        wait_us,
    }
}

#[test]
fn bytes_are_read_as_they_were_written() {
    let note = Note {
        tat_us: 1,
        trusted_until_us: 2,
        units: 3,
        units_until_us: 4,
        speaker_until_us: 5,
        told_tat_us: u64::MAX,
    };
    assert_eq!(Note::read(&note.to_bytes()), Some(note));
    assert_eq!(Note::read(&[0; 8]), None);
}

#[test]
fn a_refusal_holds_for_its_wait_less_the_margin() {
    let one = demand(slow(), 1, 0);
    let note = Note::default().refused(&one, &refused(1_000_000), 50_000);
    // The last moment at which it is trusted: 1,000,000 less 1 in 1,024, rounded up.
    let last = 50_000 + 1_000_000 - 977 - 1;
    let standing = note.refusal(&one, last).unwrap();
    assert_eq!((standing.remaining, standing.wait_us), (0, 978));
    assert_eq!(note.refusal(&one, last + 1), None);
    assert_eq!(note.until_us(), last + 1);
}

#[test]
fn a_smaller_cost_is_asked_for_and_a_larger_one_waits_longer() {
    let rate = slow();
    let note = Note::default().refused(&demand(rate, 3, 0), &refused(1_000_000), 1);
    assert_eq!(note.refusal(&demand(rate, 2, 0), 2), None);
    assert_eq!(note.refusal(&demand(rate, 0, 0), 2), None);
    let larger = note.refusal(&demand(rate, 4, 0), 1).unwrap();
    assert_eq!(larger.wait_us, 2_000_000);
}

#[test]
fn a_long_refusal_is_asked_about_once_a_minute_and_told_whole() {
    let day = Rate::new(1, 86_400_000_000, 1);
    let one = demand(day, 1, 0);
    let note = Note::default().refused(&one, &refused(80_000_000_000), 0);
    assert_eq!(note.refusal(&one, 60_000_000), None);
    let standing = note.refusal(&one, 59_999_999).unwrap();
    assert_eq!(standing.wait_us, 80_000_000_000 - 59_999_999);
}

#[test]
fn a_limit_that_watches_is_always_asked_about() {
    let one = demand(slow(), 1, 0);
    let note = Note::default().refused(&one, &refused(1_000_000), 0);
    let watching = Demand {
        is_shadow: true,
        ..one
    };
    assert_eq!(note.refusal(&watching, 1), None);
}

#[test]
fn units_are_spent_until_they_are_given_up() {
    let two = demand(slow(), 2, 4);
    let note = Note::default().receive(&two, 4, 100);
    assert_eq!(note.units(100), 4);
    let note = note.spend(&two, 100).unwrap();
    assert_eq!(note.units(100), 2);
    // As long as the bucket takes to fill.
    assert_eq!(note.units(100 + 4_999_999), 2);
    assert_eq!(note.spend(&two, 100 + 5_000_000), None);
    let empty = note.spend(&two, 100).unwrap();
    assert_eq!(empty.spend(&two, 100), None);
}

#[test]
fn a_gateway_never_holds_more_than_a_lease() {
    let one = demand(slow(), 1, 4);
    let note = Note::default().receive(&one, 3, 0).receive(&one, 3, 0);
    assert_eq!(note.units(0), 4);
}

#[test]
fn what_is_spent_tells_what_is_left_here_and_in_the_bucket() {
    let one = demand(slow(), 1, 4);
    let taken = Standing {
        allowed: true,
        remaining: 1,
        wait_us: 4_000_000,
    };
    let note = Note::default().heard(&taken, 10).receive(&one, 3, 10);
    let standing = note.spend(&one, 10).unwrap().spent(&one, 10);
    assert_eq!((standing.remaining, standing.wait_us), (3, 4_000_000));
}

#[test]
fn one_speaks_at_a_time_and_not_for_ever() {
    let note = Note::default().speak(0).unwrap();
    assert_eq!(note.speak(999_999), None);
    assert!(note.speak(1_000_000).is_some());
    assert!(note.fall_silent().speak(1).is_some());
}

#[test]
fn what_was_told_is_not_owed_again() {
    let note = Note::default();
    assert_eq!(note.untold_us(None, 100), 0);
    assert_eq!(note.untold_us(Some(500), 100), 400);
    let note = note.told(500);
    assert_eq!(note.untold_us(Some(500), 100), 0);
    assert_eq!(note.untold_us(Some(700), 100), 200);
    assert_eq!(note.untold_us(Some(700), 650), 50);
}

proptest! {
    #[test]
    fn a_noted_refusal_is_the_stores(
        (units, per_us, burst) in (1u32..50, 1u64..5_000, 1u32..12),
        debt in 0u64..500_000,
        latency in 0u64..2_000,
        (first, then) in (1u32..12, 0u32..12),
        steps in prop::collection::vec(0u64..3_000, 1..40),
    ) {
        let rate = Rate::new(units, per_us, burst);
        // The store's bucket on the gateway's clock; it was looked at `latency` after it was asked.
        let (asked, tat) = (10_000, 10_000 + latency + debt % (rate.tolerance_us() + 1));
        let first = demand(rate, first.min(burst), 0);
        let answered = rate.probe(Some(tat), asked + latency, first.cost).uncharged();
        prop_assume!(!answered.allowed);
        let note = Note::default().refused(&first, &answered, asked);
        let then = demand(rate, then.min(burst), 0);
        let mut now = asked + latency;
        for step in steps {
            now += step;
            if note.refusal(&then, now).is_some() {
                prop_assert!(!rate.probe(Some(tat), now, then.cost).allows());
            }
        }
    }
}
