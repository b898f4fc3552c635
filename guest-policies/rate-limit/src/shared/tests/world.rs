//! Some gateways, each with a clock and notes of its own, and the store that they share: the script's model.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::*;

/// All of it, at one moment.
pub(super) struct World {
    pub(super) now_us: u64,
    pub(super) is_down: bool,
    /// How many gateways share a limit while the store is down, when they do.
    pub(super) alone: Option<u32>,
    pub(super) gateways: Vec<Gateway>,
    store: Store,
}

/// One gateway's cells.
#[derive(Default)]
pub(super) struct Gateway {
    /// Its clock, which starts elsewhere than the store's.
    now_us: Cell<u64>,
    pub(super) is_denied: Cell<bool>,
    /// Value and moment at which it is gone.
    cells: RefCell<HashMap<String, (Vec<u8>, u64)>>,
}

/// The store: TATs by key, decided as `rate_limit.lua` does, which `script_tests` shows.
#[derive(Default)]
struct Store {
    now_us: Cell<u64>,
    is_down: Cell<bool>,
    evals: Cell<u32>,
    tats: RefCell<HashMap<String, u64>>,
}

impl World {
    pub(super) fn new(gateways: usize) -> Self {
        let mut world = Self {
            now_us: 1_000_000_000,
            is_down: false,
            alone: None,
            gateways: (0..gateways).map(|_| Gateway::default()).collect(),
            store: Store::default(),
        };
        world.advance(0);
        world
    }

    pub(super) fn advance(&mut self, us: u64) {
        self.now_us += us;
        self.store.now_us.set(self.now_us);
        for (i, gateway) in self.gateways.iter().enumerate() {
            // An hour apart.
            gateway.now_us.set(self.now_us + i as u64 * 3_600_000_000);
        }
    }

    pub(super) fn evals(&self) -> u32 {
        self.store.evals.get()
    }

    /// A request at that gateway, as the policy decides it.
    pub(super) fn ask(
        &mut self,
        gateway: usize,
        demands: &[Demand],
    ) -> Result<Decision, StoreError> {
        self.store.is_down.set(self.is_down);
        let cells = &self.gateways[gateway];
        let decided = decide(&self.store, cells, demands, self.alone);
        match (decided, self.alone) {
            (Err(_), Some(gateways)) => decide_alone(cells, demands, gateways),
            (decided, _) => decided,
        }
    }
}

impl Script for Store {
    fn eval(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.evals.set(self.evals.get() + 1);
        if self.is_down.get() {
            return Err(StoreError::Failed("down".to_owned()));
        }
        let mut tats = self.tats.borrow_mut();
        let stored = |ask: &Ask<'_>| tats.get(&ask.demand.key).copied();
        let mut model = crate::redis::script_tests::Model {
            tats: asks.iter().map(stored).collect(),
        };
        let answers = model.decide(asks, self.now_us.get());
        for (ask, tat) in asks.iter().zip(model.tats) {
            tats.insert(ask.demand.key.clone(), tat.unwrap());
        }
        Ok(answers)
    }
}

impl Cells for Gateway {
    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_denied.get() {
            return Err(StoreError::Denied("no grant".to_owned()));
        }
        let cells = self.cells.borrow();
        let alive = cells
            .get(key)
            .filter(|(_, until)| self.now_us.get() < *until);
        Ok(alive.map(|(value, _)| value.clone()))
    }

    fn swap(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<bool, StoreError> {
        if self.get(key)?.as_deref() != expect {
            return Ok(false);
        }
        let until = self.now_us.get() + u64::from(ttl_ms) * 1_000;
        let cell = (value.to_vec(), until);
        self.cells.borrow_mut().insert(key.to_owned(), cell);
        Ok(true)
    }
}

/// So many units of that bucket.
pub(super) fn demand(key: &str, rate: Rate, cost: u32) -> Demand {
    Demand {
        key: key.to_owned(),
        rate,
        cost,
        lease: 0,
        is_shadow: false,
    }
}
