//! Compare-and-swap decisions: all or nothing, exact under threads, no overshoot by refunds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::gcra::Rate;

/// What the other workers do before swap number n.
type Others<'a> = &'a dyn Fn(&Fake<'a>, u32);

/// A store with a clock of its own; `before_swap` plays the other workers.
#[derive(Default)]
struct Fake<'a> {
    now_us: Cell<u64>,
    cells: RefCell<HashMap<String, Vec<u8>>>,
    swaps: Cell<u32>,
    before_swap: Option<Others<'a>>,
    /// The number of the swap that finds no room.
    full_at: u32,
    denied: bool,
}

impl Fake<'_> {
    fn tat(&self, key: &str) -> Option<u64> {
        tat_us(self, key).unwrap()
    }

    fn put(&self, key: &str, tat_us: u64) {
        self.cells
            .borrow_mut()
            .insert(key.to_owned(), tat_us.to_le_bytes().to_vec());
    }
}

impl Cells for Fake<'_> {
    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.denied {
            return Err(StoreError::Denied("no grant".to_owned()));
        }
        Ok(self.cells.borrow().get(key).cloned())
    }

    fn swap(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<bool, StoreError> {
        assert!(ttl_ms >= 1);
        self.swaps.set(self.swaps.get() + 1);
        if self.swaps.get() == self.full_at {
            return Err(StoreError::Full);
        }
        if let Some(others) = self.before_swap {
            others(self, self.swaps.get());
        }
        if self.get(key)?.as_deref() != expect {
            return Ok(false);
        }
        self.cells
            .borrow_mut()
            .insert(key.to_owned(), value.to_vec());
        Ok(true)
    }
}

/// One unit of each of these rates, under `key0`, `key1`, …
fn demands(rates: &[Rate]) -> Vec<Demand> {
    let demand = |(i, rate): (usize, &Rate)| Demand {
        key: format!("key{i}"),
        rate: *rate,
        cost: 1,
        lease: 0,
        is_shadow: false,
    };
    rates.iter().enumerate().map(demand).collect()
}

#[test]
fn when_one_limit_denies_none_is_charged() {
    let fake = Fake::default();
    let demands = demands(&[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)]);
    assert!(decide(&fake, &demands).unwrap().allowed());
    assert!(decide(&fake, &demands).unwrap().allowed());
    let before = fake.cells.borrow().clone();
    let denied = decide(&fake, &demands).unwrap();
    assert_eq!(*fake.cells.borrow(), before);
    assert_eq!(
        denied.standings()[0],
        Standing {
            allowed: true,
            remaining: 3,
            wait_us: 2_000
        }
    );
    assert_eq!(
        denied.standings()[1],
        Standing {
            allowed: false,
            remaining: 0,
            wait_us: 1_000
        }
    );
}

#[test]
fn a_lost_swap_is_tried_again_on_what_is_there_now() {
    let others = |fake: &Fake, swap: u32| {
        if swap == 1 {
            fake.put("key0", 3_000);
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    let decided = decide(&fake, &demands(&[Rate::new(1, 1_000, 5)])).unwrap();
    assert_eq!(
        decided.standings(),
        [Standing {
            allowed: true,
            remaining: 1,
            wait_us: 4_000
        }]
    );
    assert_eq!(fake.tat("key0"), Some(4_000));
}

#[test]
fn a_charge_is_taken_back_when_a_later_limit_is_lost() {
    let others = |fake: &Fake, swap: u32| {
        if swap == 2 {
            fake.put("key1", 2_000);
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    fake.put("key0", 500);
    let denied = decide(
        &fake,
        &demands(&[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)]),
    )
    .unwrap();
    assert!(!denied.allowed());
    assert_eq!(
        (fake.tat("key0"), fake.tat("key1")),
        (Some(500), Some(2_000))
    );
}

#[test]
fn a_charge_that_has_drained_is_not_taken_back_from_others() {
    let others = |fake: &Fake, swap: u32| {
        if swap == 2 {
            // So late that the first charge (TAT 1,000) is over, and another request was charged since.
            fake.now_us.set(5_000);
            fake.put("key0", 6_000);
            fake.put("key1", 9_000);
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    let denied = decide(
        &fake,
        &demands(&[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)]),
    )
    .unwrap();
    assert!(!denied.allowed());
    assert_eq!(fake.tat("key0"), Some(6_000));
}

#[test]
fn a_lost_swap_is_decided_again_by_the_clock_of_that_moment() {
    let others = |fake: &Fake, swap: u32| {
        if swap == 1 {
            // The instance was put aside for a second, in which another request was charged.
            fake.now_us.set(1_000_000);
            fake.put("key0", 1_001_000);
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    let decision = decide(&fake, &demands(&[Rate::new(1, 1_000, 2)])).unwrap();
    assert!(decision.allowed());
    assert_eq!(fake.tat("key0"), Some(1_002_000));
}

#[test]
fn endless_contention_is_a_store_error_that_charges_nothing() {
    let others = |fake: &Fake, swap: u32| {
        if swap > 1 && swap <= 1 + MAX_LOST_SWAPS {
            fake.put("key1", u64::from(swap % 2));
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    let rates = [Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)];
    assert!(matches!(
        decide(&fake, &demands(&rates)),
        Err(StoreError::Failed(_))
    ));
    assert_eq!(fake.tat("key0"), Some(0));
}

#[test]
fn a_full_store_is_told_and_charges_nothing() {
    let fake = Fake {
        full_at: 2,
        ..Fake::default()
    };
    let rates = [Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)];
    assert_eq!(decide(&fake, &demands(&rates)), Err(StoreError::Full));
    assert_eq!((fake.tat("key0"), fake.tat("key1")), (Some(0), None));
}

#[test]
fn a_denied_store_is_told_from_a_full_one() {
    let fake = Fake {
        denied: true,
        ..Fake::default()
    };
    let decided = decide(&fake, &demands(&[Rate::new(1, 1_000, 5)]));
    assert_eq!(decided, Err(StoreError::Denied("no grant".to_owned())));
    assert_eq!(fake.swaps.get(), 0);
}

struct Shared(Mutex<HashMap<String, Vec<u8>>>);

impl Cells for Shared {
    fn now_us(&self) -> u64 {
        1_000_000
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn swap(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
        _: u32,
    ) -> Result<bool, StoreError> {
        let mut cells = self.0.lock().unwrap();
        let equal = cells.get(key).map(Vec::as_slice) == expect;
        if equal {
            cells.insert(key.to_owned(), value.to_vec());
        }
        Ok(equal)
    }
}

#[test]
fn threads_together_admit_the_burst_and_no_more() {
    let shared = Shared(Mutex::default());
    let demands = demands(&[Rate::new(1, 1_000, 900), Rate::new(1, 1_000, 500)]);
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..400 {
                    let decided = decide(&shared, &demands);
                    admitted.fetch_add(u32::from(decided.unwrap().allowed()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 500);
    let tat = |key: &str| tat_us(&shared, key).unwrap().unwrap() - 1_000_000;
    // Refunds were exact: the larger bucket owes just what was admitted.
    assert_eq!((tat("key0"), tat("key1")), (500_000, 500_000));
}

#[test]
fn a_limit_that_watches_is_charged_what_it_would_admit() {
    let fake = Fake::default();
    let mut demands = demands(&[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)]);
    demands[1].is_shadow = true;
    for left in [4, 3, 2] {
        let decided = decide(&fake, &demands).unwrap();
        assert!(decided.allowed());
        assert_eq!(decided.standings()[0].remaining, left);
        assert_eq!(decided.standings()[1].allowed, left > 2);
    }
    assert_eq!(
        (fake.tat("key0"), fake.tat("key1")),
        (Some(3_000), Some(2_000))
    );
}

#[test]
fn a_limit_that_watches_and_loses_a_race_keeps_nothing_from_passing() {
    let others = |fake: &Fake, swap: u32| {
        if swap == 2 {
            fake.put("key1", 2_000);
        }
    };
    let fake = Fake {
        before_swap: Some(&others),
        ..Fake::default()
    };
    let mut demands = demands(&[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)]);
    demands[1].is_shadow = true;
    assert!(decide(&fake, &demands).unwrap().allowed());
    assert_eq!(
        (fake.tat("key0"), fake.tat("key1")),
        (Some(1_000), Some(2_000))
    );
}

#[test]
fn what_costs_nothing_is_charged_nothing() {
    let fake = Fake::default();
    let mut demands = demands(&[Rate::new(1, 1_000, 1)]);
    assert!(decide(&fake, &demands).unwrap().allowed());
    demands[0].cost = 0;
    let decided = decide(&fake, &demands).unwrap();
    assert!(decided.allowed());
    assert_eq!((decided.standings()[0].remaining, fake.swaps.get()), (0, 1));
}

proptest! {
    #[test]
    fn several_limits_decide_as_their_conjunction(
        specs in prop::collection::vec((1u32..20, 1u64..5_000, 1u32..6, 0u32..6, any::<bool>()), 1..=MAX_LIMITS),
        steps in prop::collection::vec(0u64..1_500, 1..100),
    ) {
        let rates: Vec<_> = specs.iter().map(|&(units, per_us, burst, ..)| Rate::new(units, per_us, burst)).collect();
        let mut demands = demands(&rates);
        for (demand, &(_, _, burst, cost, is_shadow)) in demands.iter_mut().zip(&specs) {
            (demand.cost, demand.is_shadow) = (cost.min(burst), is_shadow);
        }
        let fake = Fake::default();
        let mut tats = vec![None; rates.len()];
        for step in steps {
            fake.now_us.set(fake.now_us.get() + step);
            let now = fake.now_us.get();
            let probes: Vec<_> = demands.iter().zip(&tats).map(|(demand, &tat)| demand.rate.probe(tat, now, demand.cost)).collect();
            let pass = demands.iter().zip(&probes).all(|(demand, probe)| demand.is_shadow || probe.allows());
            let decided = decide(&fake, &demands).unwrap();
            prop_assert_eq!(decided.allowed(), pass);
            for ((standing, probe), tat) in decided.standings().iter().zip(&probes).zip(&mut tats) {
                let charged = pass && probe.allows();
                if charged {
                    *tat = Some(probe.charged_tat_us());
                }
                prop_assert_eq!(*standing, if charged { probe.charged() } else { probe.uncharged() });
            }
        }
    }
}
