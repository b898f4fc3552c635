//! What policies keep with an exchange between their hooks, and share with one another.
//!
//! While bodies stream, a hook may run beside the exchange's own way: then both have the same memory.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The states and shared values of one exchange.
#[derive(Debug)]
pub enum ExchangeMemory {
    /// As long as one hook runs at a time.
    Own(Values),
    /// When copies of the exchange have it too.
    Common(Arc<Mutex<Values>>),
}

/// What is kept.
#[derive(Debug, Default)]
pub struct Values {
    /// By the policy's place in the chain.
    states: Vec<Option<Vec<u8>>>,
    shared: Vec<(String, String)>,
}

impl ExchangeMemory {
    /// Nothing is kept yet; `policies` is the length of the chain.
    pub fn new(policies: usize) -> Self {
        Self::Own(Values {
            states: vec![None; policies],
            shared: Vec::new(),
        })
    }

    /// The same memory, for a copy of the exchange.
    pub fn in_common(&mut self) -> Self {
        let common = match self {
            Self::Own(values) => Arc::new(Mutex::new(mem::take(values))),
            Self::Common(values) => values.clone(),
        };
        *self = Self::Common(common.clone());
        Self::Common(common)
    }

    /// What the policy at `place` of the chain has kept.
    pub fn state(&self, place: usize) -> Option<Vec<u8>> {
        self.look(|values| values.states.get(place)?.clone())
    }

    /// A value that a policy has shared.
    pub fn shared(&self, key: &str) -> Option<String> {
        self.look(|values| {
            let mut shared = values.shared.iter();
            let (_, value) = shared.find(|(name, _)| name == key)?;
            Some(value.clone())
        })
    }

    /// Keeps what the policy at `place` has set in a hook that ended well.
    pub fn keep(&mut self, place: usize, state: Option<Vec<u8>>, shared: Vec<(String, String)>) {
        match self {
            Self::Own(values) => values.keep(place, state, shared),
            Self::Common(values) => lock(values).keep(place, state, shared),
        }
    }

    fn look<V>(&self, look: impl FnOnce(&Values) -> V) -> V {
        match self {
            Self::Own(values) => look(values),
            Self::Common(values) => look(&lock(values)),
        }
    }
}

impl Default for ExchangeMemory {
    fn default() -> Self {
        Self::Own(Values::default())
    }
}

impl Values {
    fn keep(&mut self, place: usize, state: Option<Vec<u8>>, shared: Vec<(String, String)>) {
        if let Some(value) = state {
            if self.states.len() <= place {
                self.states.resize(place + 1, None);
            }
            self.states[place] = Some(value);
        }
        for (key, value) in shared {
            match self.shared.iter_mut().find(|(name, _)| *name == key) {
                Some((_, old)) => *old = value,
                None => self.shared.push((key, value)),
            }
        }
    }
}

fn lock(values: &Mutex<Values>) -> MutexGuard<'_, Values> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_and_the_exchange_see_the_same() {
        let mut memory = ExchangeMemory::new(2);
        memory.keep(0, Some(b"before".to_vec()), vec![("k".into(), "1".into())]);
        let mut copy = memory.in_common();
        assert_eq!(copy.state(0).as_deref(), Some(&b"before"[..]));
        copy.keep(1, Some(b"late".to_vec()), vec![("k".into(), "2".into())]);
        let mut third = memory.in_common();
        third.keep(0, None, vec![("l".into(), "3".into())]);
        assert_eq!(memory.state(1).as_deref(), Some(&b"late"[..]));
        assert_eq!(memory.state(0).as_deref(), Some(&b"before"[..]));
        assert_eq!(
            (memory.shared("k"), copy.shared("l")),
            (Some("2".to_owned()), Some("3".to_owned()))
        );
        assert_eq!((memory.state(7), memory.shared("none")), (None, None));
    }
}
