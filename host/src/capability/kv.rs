//! `kv`: a policy's space of keys in this process, shared by its workers and routes.
//!
//! Sharded, bounded in bytes, kept over reloads. A key ends when its time has passed, whether or
//! not anybody looks; its memory is freed when a write finds no room.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;

use crate::wasm::bindings::portcullis::capability::kv::{Error, Host};
use crate::wasm::state::HostState;

/// What a key costs beside its bytes: the map's slot, the two allocations, the time.
const ENTRY_OVERHEAD_BYTES: usize = 96;
/// How often a full space is searched for ended keys: each search reads all of it.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// A longer key is a mistake.
const MAX_KEY_BYTES: usize = 1024;

/// The spaces of all policies, by name; they outlive revisions of the config.
#[derive(Default)]
pub struct KvSpaces {
    spaces: Mutex<HashMap<String, Arc<KvSpace>>>,
}

impl KvSpaces {
    /// The space of that policy; a new one has no room until [`KvSpaces::settle`].
    pub fn open(&self, policy: &str) -> Arc<KvSpace> {
        self.lock().entry(policy.to_owned()).or_default().clone()
    }

    /// Makes room as the config that serves from now on says, in bytes by policy; the spaces of
    /// other policies go with their last user.
    pub fn settle(&self, quotas: &BTreeMap<String, usize>) {
        let mut spaces = self.lock();
        spaces.retain(|policy, space| {
            let quota = quotas.get(policy);
            space
                .max_bytes
                .store(quota.copied().unwrap_or(0), Ordering::Relaxed);
            quota.is_some()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<KvSpace>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One policy's keys.
#[derive(Default)]
pub struct KvSpace {
    entries: DashMap<String, Entry>,
    bytes: AtomicUsize,
    max_bytes: AtomicUsize,
    swept: Mutex<Option<Instant>>,
}

struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

impl Entry {
    fn is_alive(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl KvSpace {
    /// The value, if the key is there and alive.
    pub fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        self.entries
            .get(key)
            .filter(|entry| entry.is_alive(now))
            .map(|entry| entry.value.clone())
    }

    /// Sets the value, whatever was there.
    pub fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<(), Error> {
        self.admit(&key, value.len(), now)?;
        self.replace(self.entries.entry(key), Some((value, ttl)), now);
        Ok(())
    }

    /// Removes the key; whether it was there.
    pub fn delete(&self, key: &str, now: Instant) -> bool {
        let removed = self.entries.remove(key);
        removed.is_some_and(|(key, entry)| {
            self.bytes
                .fetch_sub(cost(key.len(), entry.value.len()), Ordering::Relaxed);
            entry.is_alive(now)
        })
    }

    /// Adds to an integer (8 bytes, little endian; absent is 0); `ttl` holds for a new key only.
    pub fn increment(
        &self,
        key: String,
        delta: i64,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<i64, Error> {
        self.admit(&key, size_of::<i64>(), now)?;
        let slot = self.entries.entry(key);
        if let MapEntry::Occupied(mut slot) = slot {
            if slot.get().is_alive(now) {
                let old: [u8; 8] = slot
                    .get()
                    .value
                    .as_slice()
                    .try_into()
                    .map_err(|_| not_an_integer())?;
                let new = i64::from_le_bytes(old).saturating_add(delta);
                slot.get_mut().value = new.to_le_bytes().to_vec();
                return Ok(new);
            }
            self.replace(
                MapEntry::Occupied(slot),
                Some((delta.to_le_bytes().to_vec(), ttl)),
                now,
            );
        } else {
            self.replace(slot, Some((delta.to_le_bytes().to_vec(), ttl)), now);
        }
        Ok(delta)
    }

    /// Sets the value if the present one is `expect` (`None`: if the key is absent); says whether it did.
    pub fn swap(
        &self,
        key: String,
        expect: Option<&[u8]>,
        value: Vec<u8>,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<bool, Error> {
        self.admit(&key, value.len(), now)?;
        let slot = self.entries.entry(key);
        let present = match &slot {
            MapEntry::Occupied(slot) if slot.get().is_alive(now) => {
                Some(slot.get().value.as_slice())
            }
            _ => None,
        };
        if present != expect {
            return Ok(false);
        }
        self.replace(slot, Some((value, ttl)), now);
        Ok(true)
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes or clears a slot and keeps the account.
    fn replace(
        &self,
        slot: MapEntry<'_, String, Entry>,
        new: Option<(Vec<u8>, Option<Duration>)>,
        now: Instant,
    ) {
        let key_bytes = slot.key().len();
        if let MapEntry::Occupied(slot) = &slot {
            self.bytes
                .fetch_sub(cost(key_bytes, slot.get().value.len()), Ordering::Relaxed);
        }
        if let Some((value, ttl)) = new {
            self.bytes
                .fetch_add(cost(key_bytes, value.len()), Ordering::Relaxed);
            slot.insert(Entry {
                value,
                expires: ttl.map(|ttl| now + ttl),
            });
        }
    }

    /// Makes room if there is little, and refuses what still does not fit.
    fn admit(&self, key: &str, value_bytes: usize, now: Instant) -> Result<(), Error> {
        if key.len() > MAX_KEY_BYTES {
            return Err(Error::Invalid(format!(
                "a key of {} bytes: at most {MAX_KEY_BYTES}",
                key.len()
            )));
        }
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let wanted = cost(key.len(), value_bytes);
        if self.bytes() + wanted <= max_bytes {
            return Ok(());
        }
        self.sweep(now);
        // A write in place of an old value needs no more than the difference.
        let freed = self
            .entries
            .get(key)
            .map_or(0, |entry| cost(key.len(), entry.value.len()));
        if self.bytes() + wanted <= max_bytes + freed {
            Ok(())
        } else {
            Err(Error::Full)
        }
    }

    /// Frees the keys whose time has passed, unless that was tried a moment ago.
    fn sweep(&self, now: Instant) {
        let Ok(mut swept) = self.swept.try_lock() else {
            return;
        };
        if swept.is_some_and(|last| now.saturating_duration_since(last) < SWEEP_INTERVAL) {
            return;
        }
        *swept = Some(now);
        self.entries.retain(|key, entry| {
            let alive = entry.is_alive(now);
            if !alive {
                self.bytes
                    .fetch_sub(cost(key.len(), entry.value.len()), Ordering::Relaxed);
            }
            alive
        });
    }
}

fn cost(key_bytes: usize, value_bytes: usize) -> usize {
    key_bytes + value_bytes + ENTRY_OVERHEAD_BYTES
}

fn ttl(ttl_ms: Option<u32>) -> Option<Duration> {
    ttl_ms.map(|ms| Duration::from_millis(ms.into()))
}

fn not_an_integer() -> Error {
    Error::Invalid("the value is not a 64-bit integer".to_owned())
}

impl HostState {
    /// The policy's space, and now.
    fn kv(&self) -> Result<(&KvSpace, Instant), Error> {
        match (&self.capabilities.kv, self.phase) {
            (Some(space), Some(_)) => Ok((space, self.capabilities.clock.instant())),
            (None, Some(_)) => Err(Error::Denied("the policy has no grant for kv".to_owned())),
            (_, None) => Err(Error::Denied(
                "not during describe and configure".to_owned(),
            )),
        }
    }
}

impl Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.called()?;
        Ok(self.kv().map(|(space, now)| space.get(&key, now)))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.called()?;
        Ok(self
            .kv()
            .and_then(|(space, now)| space.set(key, value, ttl(ttl_ms), now)))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, Error>> {
        self.called()?;
        Ok(self.kv().map(|(space, now)| space.delete(&key, now)))
    }

    fn increment(
        &mut self,
        key: String,
        delta: i64,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<i64, Error>> {
        self.called()?;
        Ok(self
            .kv()
            .and_then(|(space, now)| space.increment(key, delta, ttl(ttl_ms), now)))
    }

    fn swap(
        &mut self,
        key: String,
        expect: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        self.called()?;
        Ok(self
            .kv()
            .and_then(|(space, now)| space.swap(key, expect.as_deref(), value, ttl(ttl_ms), now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(max_bytes: usize) -> Arc<KvSpace> {
        let spaces = KvSpaces::default();
        let space = spaces.open("p");
        spaces.settle(&BTreeMap::from([("p".to_owned(), max_bytes)]));
        space
    }

    #[test]
    fn a_key_ends_when_its_time_has_passed() {
        let (space, start) = (space(1 << 20), Instant::now());
        space
            .set(
                "a".into(),
                b"1".to_vec(),
                Some(Duration::from_millis(10)),
                start,
            )
            .unwrap();
        assert_eq!(
            space.get("a", start + Duration::from_millis(9)),
            Some(b"1".to_vec())
        );
        assert_eq!(space.get("a", start + Duration::from_millis(10)), None);
    }

    #[test]
    fn swap_sets_only_what_was_expected_and_sees_an_ended_key_as_absent() {
        let (space, start) = (space(1 << 20), Instant::now());
        let ttl = Some(Duration::from_millis(10));
        assert!(
            space
                .swap("a".into(), None, b"1".to_vec(), ttl, start)
                .unwrap()
        );
        assert!(
            !space
                .swap("a".into(), None, b"2".to_vec(), ttl, start)
                .unwrap()
        );
        assert!(
            !space
                .swap("a".into(), Some(b"0"), b"2".to_vec(), ttl, start)
                .unwrap()
        );
        assert!(
            space
                .swap("a".into(), Some(b"1"), b"2".to_vec(), ttl, start)
                .unwrap()
        );
        assert!(
            space
                .swap(
                    "a".into(),
                    None,
                    b"3".to_vec(),
                    ttl,
                    start + Duration::from_millis(10)
                )
                .unwrap()
        );
    }

    #[test]
    fn increment_keeps_the_first_time_and_refuses_other_values() {
        let (space, start) = (space(1 << 20), Instant::now());
        assert_eq!(
            space
                .increment("n".into(), 2, Some(Duration::from_millis(10)), start)
                .unwrap(),
            2
        );
        assert_eq!(
            space
                .increment("n".into(), 3, None, start + Duration::from_millis(5))
                .unwrap(),
            5
        );
        assert_eq!(
            space
                .increment("n".into(), 1, None, start + Duration::from_millis(10))
                .unwrap(),
            1
        );
        space
            .set("text".into(), b"x".to_vec(), None, start)
            .unwrap();
        assert!(matches!(
            space.increment("text".into(), 1, None, start),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn a_full_space_refuses_until_keys_have_ended_and_the_account_stays_exact() {
        let (space, start) = (space(3 * cost(1, 1)), Instant::now());
        let ttl = Some(SWEEP_INTERVAL);
        for key in ["a", "b", "c"] {
            space.set(key.into(), b"1".to_vec(), ttl, start).unwrap();
        }
        assert!(matches!(
            space.set("d".into(), b"1".to_vec(), ttl, start),
            Err(Error::Full)
        ));
        assert!(
            space
                .swap("a".into(), Some(b"1"), b"2".to_vec(), ttl, start)
                .unwrap()
        );
        let later = start + SWEEP_INTERVAL;
        space.set("d".into(), b"1".to_vec(), ttl, later).unwrap();
        assert_eq!(space.bytes(), cost(1, 1));
        assert!(space.delete("d", later));
        assert_eq!(space.bytes(), 0);
    }

    #[test]
    fn a_space_is_kept_by_name_and_two_policies_share_nothing() {
        let (spaces, now) = (KvSpaces::default(), Instant::now());
        let quotas = BTreeMap::from(["one", "two"].map(|name| (name.to_owned(), 1 << 20)));
        drop((spaces.open("one"), spaces.open("two")));
        spaces.settle(&quotas);
        spaces
            .open("one")
            .set("k".into(), b"1".to_vec(), None, now)
            .unwrap();
        assert_eq!(spaces.open("two").get("k", now), None);
        assert_eq!(spaces.open("one").get("k", now), Some(b"1".to_vec()));
    }
}
