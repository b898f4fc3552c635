//! Where the places are: in Redis when the operator granted a binding, else in the gateway's memory.

use std::cell::Cell;

use portcullis_sdk::{clock, kv as host_kv, redis as host_redis};

use crate::claim::{Claim, Outcome, StoreError};
use crate::hold::{Hold, Place};
use crate::kv::{self, Cells};
use crate::redis;

/// Takes and gives back places in whichever store there is.
#[derive(Debug)]
pub struct Store {
    acquire_script: String,
    release_script: String,
    timeout_us: u64,
    /// How many gateways share each limit while Redis is away, when they do.
    gateways: Option<u32>,
    /// Whether Redis is granted, once it was asked: a grant does not change while an instance lives.
    has_redis: Cell<Option<bool>>,
}

impl Store {
    /// Makes ready what is sent with every request; touches no store.
    pub fn new(timeout_us: u64, gateways: Option<u32>) -> Self {
        Self {
            acquire_script: redis::acquire_script(),
            release_script: redis::release_script(),
            timeout_us,
            gateways,
            has_redis: Cell::new(None),
        }
    }

    /// Takes a place of each of `claims`, or none; `token` is a random number.
    pub fn acquire(&self, claims: &[Claim], token: u64) -> Result<(Outcome, Hold), StoreError> {
        if !self.has_redis() {
            return self.acquire_in_memory(claims, Place::Memory);
        }
        match (self.acquire_in_redis(claims, token), self.gateways) {
            (Ok(outcome), _) => {
                let hold = Hold::new(Place::Store, token, claims, &outcome);
                Ok((outcome, hold))
            }
            (Err(error), Some(gateways)) => {
                let part = |claim: &Claim| Claim {
                    key: ["own:", &claim.key].concat(),
                    bound: (claim.bound / gateways).max(1),
                    ..claim.clone()
                };
                let parts: Vec<_> = claims.iter().map(part).collect();
                self.acquire_in_memory(&parts, Place::Alone)
                    .map_err(|_| error)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Gives back what a request holds.
    pub fn release(&self, hold: &Hold) -> Result<(), StoreError> {
        if hold.keys.is_empty() {
            return Ok(());
        }
        if hold.place == Place::Store {
            let keys: Vec<&str> = hold.keys.iter().map(String::as_str).collect();
            let token = redis::token_text(hold.token);
            let freed = host_redis::eval(&self.release_script, &keys, &[token.as_bytes()]);
            return freed.map(|_| ()).map_err(redis_error);
        }
        hold.keys
            .iter()
            .try_for_each(|key| kv::release(&HostCells, key, hold.token))
    }

    fn acquire_in_memory(
        &self,
        claims: &[Claim],
        place: Place,
    ) -> Result<(Outcome, Hold), StoreError> {
        let until_us = clock::monotonic_us() + self.timeout_us;
        let outcome = kv::acquire(&HostCells, claims, until_us)?;
        let hold = Hold::new(place, until_us, claims, &outcome);
        Ok((outcome, hold))
    }

    fn acquire_in_redis(&self, claims: &[Claim], token: u64) -> Result<Outcome, StoreError> {
        let keys: Vec<&str> = claims.iter().map(|claim| claim.key.as_str()).collect();
        let arguments = redis::arguments(claims, token, self.timeout_us);
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let reply =
            host_redis::eval(&self.acquire_script, &keys, &arguments).map_err(redis_error)?;
        let host_redis::Reply::Items(items) = reply else {
            return redis::outcome(claims, &[]);
        };
        let number = |item: &host_redis::Item| match item {
            host_redis::Item::Int(number) => *number,
            _ => -1,
        };
        redis::outcome(claims, &items.iter().map(number).collect::<Vec<_>>())
    }

    fn has_redis(&self) -> bool {
        self.has_redis.get().unwrap_or_else(|| {
            // Nothing to delete: the gateway answers by the grant alone and asks no server.
            let denied = host_redis::delete(&[]).is_err_and(|error| error.is_denied());
            self.has_redis.set(Some(!denied));
            !denied
        })
    }
}

/// A binding that lacks only its `scripts` grant is a mistake, and a failure like any other.
fn redis_error(error: host_redis::Error) -> StoreError {
    StoreError::Failed(error.into())
}

fn kv_error(error: host_kv::Error) -> StoreError {
    match error {
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
