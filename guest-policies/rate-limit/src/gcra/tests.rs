//! GCRA against its definition: no window of admitted requests holds more than burst + rate × time.

use proptest::prelude::*;

use super::*;

/// Decides from the whole history of admitted requests, by the definition and without a TAT.
struct Oracle {
    interval_us: u64,
    burst: u64,
    /// When, and how many units.
    admitted: Vec<(u64, u64)>,
}

impl Oracle {
    fn admit(&mut self, now_us: u64, cost: u64) -> bool {
        let mut in_window = cost;
        let mut fits = cost <= self.burst;
        for &(earlier, units) in self.admitted.iter().rev() {
            in_window += units;
            fits &=
                in_window * self.interval_us <= now_us - earlier + self.burst * self.interval_us;
        }
        if fits && cost > 0 {
            self.admitted.push((now_us, cost));
        }
        fits
    }
}

fn rates() -> impl Strategy<Value = (u32, u64, u32)> {
    (1u32..50, 1u64..5_000, 1u32..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn decisions_are_those_of_the_oracle(
        (requests, per_us, burst) in rates(),
        start in 0u64..1_000_000,
        steps in prop::collection::vec((0u64..2_000, 0u32..15), 1..200),
    ) {
        let rate = Rate::new(requests, per_us, burst);
        let mut oracle = Oracle { interval_us: rate.interval_us(), burst: u64::from(burst), admitted: Vec::new() };
        let (mut now, mut stored) = (start, None);
        for (step, cost) in steps {
            now += step;
            // More often 1 than not.
            let cost = if cost > 10 { 1 } else { cost };
            let probe = rate.probe(stored, now, cost);
            // What costs nothing is never refused.
            let expected = oracle.admit(now, cost.into()) || cost == 0;
            prop_assert_eq!(probe.allows(), expected, "at {}", now);
            if probe.allows() {
                stored = Some(probe.charged_tat_us());
            }
        }
    }

    #[test]
    fn no_window_holds_more_than_burst_and_rate(
        (requests, per_us, burst) in rates(),
        steps in prop::collection::vec(0u64..500, 1..150),
    ) {
        let rate = Rate::new(requests, per_us, burst);
        let (mut now, mut stored, mut admitted) = (0u64, None, Vec::new());
        for step in steps {
            now += step;
            let probe = rate.probe(stored, now, 1);
            if probe.allows() {
                stored = Some(probe.charged_tat_us());
                admitted.push(now);
            }
        }
        for (i, from) in admitted.iter().enumerate() {
            for (j, to) in admitted.iter().enumerate().skip(i) {
                let count = (j - i + 1) as u64;
                // count ≤ burst + rate × T, with the rate that was asked for, in whole numbers.
                prop_assert!(count * per_us <= u64::from(burst) * per_us + (to - from) * u64::from(requests));
            }
        }
    }

    #[test]
    fn retry_after_is_exact(
        (requests, per_us, burst) in rates(),
        now in 0u64..1_000_000,
        debt in 0u64..500_000,
        cost in 0u32..12,
    ) {
        let rate = Rate::new(requests, per_us, burst);
        let cost = cost.min(burst);
        let stored = Some(now + debt % (rate.tolerance_us() + 1));
        let standing = rate.probe(stored, now, cost).uncharged();
        if !standing.allowed {
            prop_assert!(standing.wait_us >= 1);
            prop_assert!(!rate.probe(stored, now + standing.wait_us - 1, cost).allows());
            prop_assert!(rate.probe(stored, now + standing.wait_us, cost).allows());
        }
    }

    #[test]
    fn remaining_requests_pass_at_once_and_no_more(
        (requests, per_us, burst) in rates(),
        now in 0u64..1_000_000,
        debt in 0u64..500_000,
    ) {
        let rate = Rate::new(requests, per_us, burst);
        let mut stored = Some(now + debt % (rate.tolerance_us() + 1));
        let standing = rate.probe(stored, now, 1).uncharged();
        prop_assert_eq!(standing.allowed, standing.remaining > 0);
        for left in (0..standing.remaining).rev() {
            let probe = rate.probe(stored, now, 1);
            prop_assert!(probe.allows());
            prop_assert_eq!(probe.charged().remaining, left);
            stored = Some(probe.charged_tat_us());
        }
        prop_assert!(!rate.probe(stored, now, 1).allows());
    }
}

#[test]
fn an_unused_key_has_its_whole_burst() {
    let rate = Rate::new(100, 60_000_000, 20);
    assert_eq!(
        (rate.interval_us(), rate.tolerance_us()),
        (600_000, 12_000_000)
    );
    let probe = rate.probe(None, 5, 1);
    assert_eq!(
        probe.uncharged(),
        Standing {
            allowed: true,
            remaining: 20,
            wait_us: 0
        }
    );
    assert_eq!(
        probe.charged(),
        Standing {
            allowed: true,
            remaining: 19,
            wait_us: 600_000
        }
    );
}

#[test]
fn the_interval_is_rounded_up_so_that_the_rate_is_not_passed() {
    assert_eq!(Rate::new(3, 10, 1).interval_us(), 4);
    assert_eq!(Rate::new(7, 3, 1).interval_us(), 1);
}

#[test]
fn a_wild_stored_value_denies_and_does_not_overflow() {
    let probe = Rate::new(1, 1_000, 2).probe(Some(u64::MAX), 7, 1);
    assert!(!probe.allows());
    assert_eq!(probe.uncharged().remaining, 0);
}

#[test]
fn the_parts_of_all_gateways_are_no_more_than_the_whole() {
    let whole = Rate::new(100, 60_000_000, 20);
    for count in 1..=20 {
        let part = whole.share(count);
        assert!(part.interval_us() >= whole.interval_us() * u64::from(count));
        assert!(part.burst() * count <= 20, "{count}");
    }
    // With fewer units than gateways each still has one, or no request would ever pass.
    assert_eq!(whole.share(50).burst(), 1);
}
