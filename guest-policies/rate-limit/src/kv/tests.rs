//! Compare-and-swap decisions: all or nothing, exact under threads, no overshoot by refunds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

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
        read(self, key).unwrap()
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

fn keys(len: usize) -> Vec<String> {
    (0..len).map(|i| format!("key{i}")).collect()
}

#[test]
fn when_one_limit_denies_none_is_charged() {
    let fake = Fake::default();
    let (rates, keys) = ([Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)], keys(2));
    assert!(decide(&fake, &rates, &keys).unwrap().allowed());
    assert!(decide(&fake, &rates, &keys).unwrap().allowed());
    let before = fake.cells.borrow().clone();
    let denied = decide(&fake, &rates, &keys).unwrap();
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
    let decided = decide(&fake, &[Rate::new(1, 1_000, 5)], &keys(1)).unwrap();
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
        &[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)],
        &keys(2),
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
        &[Rate::new(1, 1_000, 5), Rate::new(1, 1_000, 2)],
        &keys(2),
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
    let decision = decide(&fake, &[Rate::new(1, 1_000, 2)], &keys(1)).unwrap();
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
        decide(&fake, &rates, &keys(2)),
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
    assert_eq!(decide(&fake, &rates, &keys(2)), Err(StoreError::Full));
    assert_eq!((fake.tat("key0"), fake.tat("key1")), (Some(0), None));
}

#[test]
fn a_denied_store_is_told_from_a_full_one() {
    let fake = Fake {
        denied: true,
        ..Fake::default()
    };
    let decided = decide(&fake, &[Rate::new(1, 1_000, 5)], &keys(1));
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
    let (rates, keys) = (
        [Rate::new(1, 1_000, 900), Rate::new(1, 1_000, 500)],
        keys(2),
    );
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..400 {
                    let decided = decide(&shared, &rates, &keys);
                    admitted.fetch_add(u32::from(decided.unwrap().allowed()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 500);
    let tat = |key: &str| read(&shared, key).unwrap().unwrap() - 1_000_000;
    // Refunds were exact: the larger bucket owes just what was admitted.
    assert_eq!((tat("key0"), tat("key1")), (500_000, 500_000));
}

proptest! {
    #[test]
    fn several_limits_decide_as_their_conjunction(
        specs in prop::collection::vec((1u32..20, 1u64..5_000, 1u32..6), 1..=MAX_LIMITS),
        steps in prop::collection::vec(0u64..1_500, 1..100),
    ) {
        let rates: Vec<_> = specs.iter().map(|&(requests, per_us, burst)| Rate::new(requests, per_us, burst)).collect();
        let (fake, keys) = (Fake::default(), keys(rates.len()));
        let mut tats = vec![None; rates.len()];
        for step in steps {
            fake.now_us.set(fake.now_us.get() + step);
            let probes: Vec<_> = rates.iter().zip(&tats).map(|(rate, &tat)| rate.probe(tat, fake.now_us.get())).collect();
            let expected = probes.iter().all(Probe::allows);
            if expected {
                tats = probes.iter().map(|probe| Some(probe.charged_tat_us())).collect();
            }
            let decided = decide(&fake, &rates, &keys).unwrap();
            prop_assert_eq!(decided.allowed(), expected);
            for (standing, probe) in decided.standings().iter().zip(&probes) {
                prop_assert_eq!(*standing, if expected { probe.charged() } else { probe.uncharged() });
            }
        }
    }
}
