//! Where the buckets are: in Redis when the operator granted a binding, else in the gateway's memory.

use std::cell::Cell;

use portcullis_sdk::{clock, kv as host_kv, redis as host_redis};

use crate::decision::{Decision, StoreError};
use crate::kv::{self, Cells};
use crate::limits::Limits;
use crate::redis;

/// Decides requests in whichever store there is.
#[derive(Debug)]
pub struct Store {
    script: String,
    arguments: Vec<Vec<u8>>,
    /// Redis has said that it is not for this policy. A grant does not change while an instance
    /// lives, so a pooled one asks once.
    no_redis: Cell<bool>,
}

impl Store {
    /// Makes ready what is sent with every request; touches no store.
    pub fn new(limits: &Limits) -> Self {
        let arguments = redis::arguments(limits.rates().iter().copied());
        Self {
            script: redis::script(),
            arguments,
            no_redis: Cell::new(false),
        }
    }

    /// Decides by `limits` on the buckets `keys`.
    pub fn decide(&self, limits: &Limits, keys: &[String]) -> Result<Decision, StoreError> {
        if !self.no_redis.get() {
            match self.decide_in_redis(keys) {
                Err(StoreError::Denied(_)) => self.no_redis.set(true),
                decided => return decided,
            }
        }
        kv::decide(&HostCells, limits.rates(), keys).map_err(|error| match error {
            StoreError::Denied(why) => StoreError::Denied(format!("{why}; redis: denied")),
            other => other,
        })
    }

    fn decide_in_redis(&self, keys: &[String]) -> Result<Decision, StoreError> {
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let arguments: Vec<&[u8]> = self.arguments.iter().map(Vec::as_slice).collect();
        let reply = host_redis::eval(&self.script, &names, &arguments).map_err(redis_error)?;
        let host_redis::Reply::Items(items) = reply else {
            return redis::decision(&[], keys.len());
        };
        let number = |item: &host_redis::Item| {
            if let host_redis::Item::Int(number) = item {
                *number
            } else {
                -1
            }
        };
        redis::decision(&items.iter().map(number).collect::<Vec<_>>(), keys.len())
    }
}

fn redis_error(error: host_redis::Error) -> StoreError {
    match error {
        // A binding that lacks only its `scripts` grant is a mistake; counting in one process would hide it.
        host_redis::Error::Denied(why) if !why.contains("script") => StoreError::Denied(why),
        other => StoreError::Failed(other.into()),
    }
}

fn kv_error(error: host_kv::Error) -> StoreError {
    match error {
        host_kv::Error::Full => StoreError::Full,
        denied if denied.is_denied() => StoreError::Denied(denied.into()),
        other => StoreError::Failed(other.into()),
    }
}

/// The gateway's key-value store.
struct HostCells;

impl Cells for HostCells {
    fn now_us(&self) -> u64 {
        clock::monotonic_us()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        host_kv::get(key).map_err(kv_error)
    }

    fn swap(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<bool, StoreError> {
        host_kv::swap(key, expect, value, Some(ttl_ms)).map_err(kv_error)
    }
}
