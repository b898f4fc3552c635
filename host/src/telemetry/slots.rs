//! One worker's histograms of one thing, bound to their labels when these first occur.

use std::cell::{Cell, RefCell};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram};

/// Bound histograms; what has more series than that is recorded by its labels, which costs ten times as much.
const MAX_BOUND: usize = 64;

/// Histograms of one metric by what tells their series apart. A bound record costs a tenth of one by labels.
pub(super) struct Slots<K> {
    bound: RefCell<Vec<(K, BoundHistogram<f64>)>>,
    /// The one that was used last: requests are much alike.
    last: Cell<usize>,
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self {
            bound: RefCell::default(),
            last: Cell::new(0),
        }
    }
}

impl<K: Copy + PartialEq> Slots<K> {
    /// Records into the series of `key`; where that is new, with these labels of this histogram.
    pub(super) fn record(
        &self,
        key: K,
        seconds: f64,
        histogram: impl FnOnce() -> Histogram<f64>,
        labels: impl FnOnce() -> Vec<KeyValue>,
    ) {
        let mut bound = self.bound.borrow_mut();
        let is_same = |(bound, _): &(K, _)| *bound == key;
        let last = self.last.get();
        let place = match bound.get(last).filter(|slot| is_same(slot)) {
            Some(_) => Some(last),
            None => bound.iter().position(is_same),
        };
        if let Some(place) = place {
            self.last.set(place);
            return bound[place].1.record(seconds);
        }
        if bound.len() == MAX_BOUND {
            return histogram().record(seconds, &labels());
        }
        let new = histogram().bind(&labels());
        new.record(seconds);
        self.last.set(bound.len());
        bound.push((key, new));
    }
}
