//! Never more holders than the bound, whatever comes when; all or none.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Fake {
    now_us: Cell<u64>,
    cells: RefCell<HashMap<String, Vec<u8>>>,
}

impl Fake {
    fn holders(&self, key: &str) -> usize {
        self.cells.borrow().get(key).map_or(0, Vec::len) / BYTES
    }
}

impl Cells for Fake {
    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
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
        let mut cells = self.cells.borrow_mut();
        let equal = cells.get(key).map(Vec::as_slice) == expect;
        if equal {
            cells.insert(key.to_owned(), value.to_vec());
        }
        Ok(equal)
    }
}

fn claim(key: &str, bound: u32) -> Claim {
    Claim {
        key: key.to_owned(),
        bound,
        is_shadow: false,
    }
}

#[test]
fn a_place_is_free_when_it_is_given_back_or_its_time_is_up() {
    let (fake, one) = (Fake::default(), [claim("a", 2)]);
    let passes = |until| acquire(&fake, &one, until).unwrap().passes();
    assert!(passes(1_000) && passes(2_000) && !passes(3_000));
    release(&fake, "a", 2_000).unwrap();
    assert!(passes(3_000) && !passes(4_000));
    fake.now_us.set(999);
    assert!(!passes(4_000));
    fake.now_us.set(1_000);
    assert!(passes(4_000));
    // The one that has ended gives nothing back.
    release(&fake, "a", 1_000).unwrap();
    assert!(!passes(5_000));
}

#[test]
fn when_one_limit_refuses_no_place_is_taken() {
    let fake = Fake::default();
    let both = [claim("a", 5), claim("b", 1)];
    assert!(acquire(&fake, &both, 1_000).unwrap().passes());
    let refused = acquire(&fake, &both, 2_000).unwrap();
    assert!(!refused.refuses(0) && refused.refuses(1));
    assert_eq!((fake.holders("a"), fake.holders("b")), (1, 1));
}

#[test]
fn a_limit_that_watches_refuses_nothing_and_holds_no_more_than_its_bound() {
    let fake = Fake::default();
    let mut both = [claim("a", 5), claim("b", 1)];
    both[1].is_shadow = true;
    assert!(acquire(&fake, &both, 1_000).unwrap().holds(1));
    let watched = acquire(&fake, &both, 2_000).unwrap();
    assert!(watched.passes() && !watched.holds(1));
    assert_eq!((fake.holders("a"), fake.holders("b")), (2, 1));
}

struct Shared(Mutex<HashMap<String, Vec<u8>>>);

impl Cells for Shared {
    fn now_us(&self) -> u64 {
        1
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
fn threads_together_never_hold_more_than_the_bound() {
    let shared = Shared(Mutex::default());
    let claims = [claim("a", 3), claim("b", 2)];
    let (held, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if acquire(&shared, &claims, 1_000).unwrap().passes() {
                        let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(1, Ordering::SeqCst);
                        for claim in &claims {
                            release(&shared, &claim.key, 1_000).unwrap();
                        }
                    }
                }
            });
        }
    });
    assert!((1..=2).contains(&most.into_inner()));
    let cells = shared.0.into_inner().unwrap();
    assert!(cells.values().all(Vec::is_empty), "{cells:?}");
}

proptest! {
    /// Against the plain list of who holds what until when.
    #[test]
    fn outcomes_are_those_of_a_list(
        bounds in prop::collection::vec((1u32..5, any::<bool>()), 1..=3),
        steps in prop::collection::vec((0u64..400, any::<bool>(), any::<prop::sample::Index>()), 1..150),
    ) {
        let claims: Vec<_> = bounds.iter().enumerate().map(|(i, &(bound, is_shadow))| Claim { is_shadow, ..claim(&i.to_string(), bound) }).collect();
        let fake = Fake::default();
        let mut lists: Vec<Vec<u64>> = vec![Vec::new(); claims.len()];
        let mut in_flight: Vec<(u64, Vec<bool>)> = Vec::new();
        for (step, arrives, which) in steps {
            let now = fake.now_us.get() + step;
            fake.now_us.set(now);
            for list in &mut lists {
                list.retain(|until| *until > now);
            }
            if arrives || in_flight.is_empty() {
                let until = now + 1_000;
                let room: Vec<_> = claims.iter().zip(&lists).map(|(claim, list)| list.len() < claim.bound as usize).collect();
                let passes = claims.iter().zip(&room).all(|(claim, room)| claim.is_shadow || *room);
                let outcome = acquire(&fake, &claims, until).unwrap();
                prop_assert_eq!(outcome.passes(), passes);
                if passes {
                    for (i, list) in lists.iter_mut().enumerate().filter(|(i, _)| room[*i]) {
                        prop_assert!(outcome.holds(i));
                        list.push(until);
                    }
                    in_flight.push((until, room));
                }
            } else {
                let (until, held) = in_flight.swap_remove(which.index(in_flight.len()));
                for (i, list) in lists.iter_mut().enumerate().filter(|(i, _)| held[*i]) {
                    release(&fake, &claims[i].key, until).unwrap();
                    if let Some(at) = list.iter().position(|moment| *moment == until) {
                        list.swap_remove(at);
                    }
                }
            }
        }
    }
}
