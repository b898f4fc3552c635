//! Gateways that share a store, in virtual time and against exact oracles.

mod world;

use proptest::prelude::*;

use super::*;
use crate::gcra::Rate;
use world::{World, demand};

#[test]
fn a_refused_key_asks_the_store_once() {
    let mut world = World::new(1);
    let one = [demand("a", Rate::new(1, 1_000_000, 2), 1)];
    for allowed in [true, true, false, false, false] {
        assert_eq!(world.ask(0, &one).unwrap().allowed(), allowed);
    }
    assert_eq!(world.evals(), 3);
    world.advance(500_000);
    let refused = world.ask(0, &one).unwrap();
    assert_eq!(refused.standings()[0].wait_us, 500_000);
    assert_eq!(world.evals(), 3);
    world.advance(500_000);
    assert!(world.ask(0, &one).unwrap().allowed());
}

#[test]
fn without_notes_every_request_asks() {
    let mut world = World::new(1);
    world.gateways[0].is_denied.set(true);
    let one = [demand("a", Rate::new(1, 1_000_000, 1), 1)];
    for allowed in [true, false, false] {
        assert_eq!(world.ask(0, &one).unwrap().allowed(), allowed);
    }
    assert_eq!(world.evals(), 3);
}

#[test]
fn a_lease_is_one_command_for_many_requests() {
    let mut world = World::new(1);
    let mut one = [demand("a", Rate::new(1, 1_000_000, 100), 1)];
    one[0].lease = 9;
    for left in (80..100).rev() {
        let decided = world.ask(0, &one).unwrap();
        assert!(decided.allowed());
        assert_eq!(decided.standings()[0].remaining, left);
    }
    assert_eq!(world.evals(), 2);
}

#[test]
fn units_go_back_when_another_limit_refuses() {
    let mut world = World::new(1);
    let mut both = [
        demand("a", Rate::new(1, 1_000_000, 100), 1),
        demand("b", Rate::new(1, 1_000_000, 2), 1),
    ];
    both[0].lease = 9;
    for allowed in [true, true, false] {
        assert_eq!(world.ask(0, &both).unwrap().allowed(), allowed);
    }
    // The note of the second limit answers before anything is spent; and the first has spent two in all.
    assert!(!world.ask(0, &both).unwrap().allowed());
    assert_eq!(
        world.ask(0, &both[..1]).unwrap().standings()[0].remaining,
        97
    );
}

#[test]
fn units_that_are_not_spent_in_time_are_lost() {
    let mut world = World::new(1);
    let mut one = [demand("a", Rate::new(1, 1_000_000, 10), 1)];
    one[0].lease = 9;
    world.ask(0, &one).unwrap();
    world.advance(10_000_000);
    world.ask(0, &one).unwrap();
    assert_eq!(world.evals(), 2);
}

#[test]
fn a_store_that_is_away_is_an_error_and_units_are_kept() {
    let mut world = World::new(1);
    let mut both = [
        demand("a", Rate::new(1, 1_000_000, 10), 1),
        demand("b", Rate::new(1, 1_000_000, 10), 1),
    ];
    both[0].lease = 3;
    world.ask(0, &both).unwrap();
    world.is_down = true;
    assert!(world.ask(0, &both).is_err());
    // The leased limit alone goes on without the store, for the three units that it has.
    for _ in 0..3 {
        assert!(world.ask(0, &both[..1]).unwrap().allowed());
    }
    assert!(world.ask(0, &both[..1]).is_err());
    world.is_down = false;
    assert!(world.ask(0, &both).unwrap().allowed());
}

#[test]
fn what_was_spent_alone_is_told_when_the_store_is_back() {
    let mut world = World::new(2);
    world.alone = Some(2);
    let one = [demand("a", Rate::new(1, 1_000_000, 10), 1)];
    world.is_down = true;
    for gateway in [0, 1] {
        let admitted = (0..8).filter(|_| world.ask(gateway, &one).unwrap().allowed());
        // Half of the burst each.
        assert_eq!(admitted.count(), 5);
    }
    world.is_down = false;
    // The first request of each tells what its gateway has spent: all ten.
    let first = world.ask(0, &one).unwrap();
    assert_eq!((first.allowed(), first.standings()[0].remaining), (true, 4));
    assert!(!world.ask(1, &one).unwrap().allowed());
    world.advance(1_000_000);
    assert!(world.ask(1, &one).unwrap().allowed());
}

/// Decides from the whole history of what was admitted, by the definition and without a TAT.
#[derive(Default)]
struct Oracle(Vec<(u64, u64)>);

impl Oracle {
    fn admits(&self, demand: &Demand, now_us: u64) -> bool {
        let mut units = u64::from(demand.cost);
        let mut admits = true;
        for &(earlier, cost) in self.0.iter().rev() {
            units += cost;
            let room = now_us - earlier + demand.rate.tolerance_us();
            admits &= units * demand.rate.interval_us() <= room;
        }
        admits || demand.cost == 0
    }
}

/// Most units in any window, less what the limit allows in it; negative when it never did.
fn overshoot(admitted: &[(u64, u64)], rate: Rate) -> i64 {
    let mut worst = i64::MIN;
    for (i, &(from, _)) in admitted.iter().enumerate() {
        let mut units = 0;
        for &(at, cost) in &admitted[i..] {
            units += cost;
            let earned = (at - from) / rate.interval_us() + u64::from(rate.burst());
            worst = worst.max(units as i64 - earned as i64);
        }
    }
    worst
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With notes of refusals, costs and limits that watch, on several gateways whose clocks start anywhere:
    /// the decisions are exactly the oracle's.
    #[test]
    fn decisions_are_those_of_the_oracle(
        specs in prop::collection::vec((1u32..20, 1u64..5_000, 1u32..8, 0u32..4), 1..=4),
        steps in prop::collection::vec((0usize..3, 0u64..1_500, 0u32..8), 1..120),
    ) {
        let mut world = World::new(3);
        let mut oracles: Vec<Oracle> = specs.iter().map(|_| Oracle::default()).collect();
        for (gateway, step, cost) in steps {
            world.advance(step);
            let demands: Vec<_> = specs.iter().enumerate().map(|(i, &(units, per_us, burst, kind))| Demand {
                cost: (cost + kind).min(burst),
                // One in four only watches.
                is_shadow: kind == 3,
                ..demand(&i.to_string(), Rate::new(units, per_us, burst), 1)
            }).collect();
            let now = world.now_us;
            let admits: Vec<_> = demands.iter().zip(&oracles).map(|(demand, oracle)| oracle.admits(demand, now)).collect();
            let expected = demands.iter().zip(&admits).all(|(demand, admits)| demand.is_shadow || *admits);
            let decided = world.ask(gateway, &demands).unwrap();
            prop_assert_eq!(decided.allowed(), expected, "at {} {:?}", now, demands);
            for ((demand, oracle), admits) in demands.iter().zip(&mut oracles).zip(admits) {
                if expected && admits && demand.cost > 0 {
                    oracle.0.push((now, u64::from(demand.cost)));
                }
            }
        }
    }

    /// With leases the limit is passed by no more than all gateways' leases, in any window.
    #[test]
    fn leases_overshoot_by_no_more_than_themselves(
        (units, per_us, burst) in (1u32..20, 1u64..5_000, 1u32..12),
        lease in 1u32..12,
        steps in prop::collection::vec((0usize..3, 0u64..800, 1u32..4, any::<bool>()), 1..250),
    ) {
        let mut world = World::new(3);
        let rate = Rate::new(units, per_us, burst);
        let lease = lease.min(burst);
        let mut admitted = Vec::new();
        for (gateway, step, cost, hurry) in steps {
            world.advance(if hurry { 0 } else { step });
            let cost = cost.min(burst);
            let one = [Demand { lease, ..demand("a", rate, cost) }];
            if world.ask(gateway, &one).unwrap().allowed() {
                admitted.push((world.now_us, u64::from(cost)));
            }
        }
        prop_assert!(overshoot(&admitted, rate) <= i64::from(3 * lease));
    }

    /// A store that goes away once costs at most a burst, which gateways admit alone, and another less the part
    /// that the first of them tells when it is back; in all never more than twice the limit.
    #[test]
    fn an_outage_costs_less_than_two_bursts(
        (units, per_us, bursts) in (1u32..20, 1u64..5_000, 1u32..4),
        steps in prop::collection::vec((0usize..2, 0u64..800, any::<bool>()), 30..250),
        (down, up) in (0usize..100, 0usize..100),
    ) {
        let mut world = World::new(2);
        world.alone = Some(2);
        let rate = Rate::new(units, per_us, 2 * bursts);
        let mut admitted = Vec::new();
        for (i, (gateway, step, hurry)) in steps.into_iter().enumerate() {
            world.is_down = (down..down + up).contains(&i);
            world.advance(if hurry { 0 } else { step });
            if world.ask(gateway, &[demand("a", rate, 1)]).unwrap().allowed() {
                admitted.push((world.now_us, 1));
            }
        }
        // Rounding: what each gateway owes is told in whole microseconds, in which it may have spent a unit.
        prop_assert!(overshoot(&admitted, rate) <= i64::from(3 * bursts) + 2);
    }
}
