//! The keys of the server with what they hold, and when they end.

use std::collections::{BTreeMap, HashMap};

use super::Refused;

/// All keys, and the time.
#[derive(Debug, Default)]
pub(super) struct Keyspace {
    keys: HashMap<Vec<u8>, Key>,
    now_us: u64,
}

#[derive(Debug)]
struct Key {
    held: Held,
    /// Since 1970; the key is gone when the time is there.
    ends_ms: Option<u64>,
}

/// What a key holds.
#[derive(Debug)]
pub(super) enum Held {
    /// Bytes.
    Text(Vec<u8>),
    /// Fields.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Members with their scores.
    SortedSet(BTreeMap<Vec<u8>, f64>),
}

impl Keyspace {
    /// It is that late now: what has ended is gone.
    pub(super) fn pass_to(&mut self, now_us: u64) {
        self.now_us = now_us;
        let now_ms = self.now_ms();
        self.keys
            .retain(|_, key| key.ends_ms.is_none_or(|ends_ms| ends_ms > now_ms));
    }

    /// Microseconds since 1970.
    pub(super) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// What the key holds.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Held> {
        self.keys.get(name).map(|key| &key.held)
    }

    /// Puts it in the place of what was there; without an end.
    pub(super) fn put(&mut self, name: &[u8], held: Held) {
        let key = Key {
            held,
            ends_ms: None,
        };
        self.keys.insert(name.to_vec(), key);
    }

    /// What the key holds, to be changed; `new` where there is no such key.
    pub(super) fn entry(&mut self, name: &[u8], new: Held) -> &mut Held {
        let key = self.keys.entry(name.to_vec()).or_insert(Key {
            held: new,
            ends_ms: None,
        });
        &mut key.held
    }

    /// Takes it away; whether it was there.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.keys.remove(name).is_some()
    }

    /// Takes a hash or a sorted set away that has nothing left in it, as Redis does.
    pub(super) fn remove_empty(&mut self, name: &[u8]) {
        let is_empty = match self.get(name) {
            Some(Held::Hash(fields)) => fields.is_empty(),
            Some(Held::SortedSet(members)) => members.is_empty(),
            Some(Held::Text(_)) | None => false,
        };
        if is_empty {
            self.remove(name);
        }
    }

    /// When the key ends, in milliseconds since 1970: `None` for no such key, `Some(None)` for never.
    pub(super) fn ends_ms(&self, name: &[u8]) -> Option<Option<u64>> {
        self.keys.get(name).map(|key| key.ends_ms)
    }

    /// Has the key end then, at once if that is past; whether it was there.
    pub(super) fn end_at(&mut self, name: &[u8], ends_ms: Option<u64>) -> bool {
        let now_ms = self.now_ms();
        let Some(key) = self.keys.get_mut(name) else {
            return false;
        };
        key.ends_ms = ends_ms;
        if ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms) {
            self.keys.remove(name);
        }
        true
    }
}

/// The answer to a command for another kind of value.
pub(super) fn wrong_type() -> Refused {
    "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned()
}
