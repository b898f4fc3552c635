//! Where the buckets are: in Redis when the operator granted a binding, else in the gateway's memory.

use std::cell::Cell;

use portcullis_sdk::{clock, kv as host_kv, redis as host_redis};

use crate::decision::{Decision, Demand, StoreError};
use crate::kv::{self, Cells};
use crate::redis::{self, Answer, Ask};
use crate::shared::{self, Script};

/// Decides requests in whichever store there is.
#[derive(Debug)]
pub struct Store {
    script: String,
    /// How many gateways share each limit while Redis is away, when they do.
    gateways: Option<u32>,
    /// Whether Redis is granted, once it was asked. A grant does not change while an instance lives, so a
    /// pooled one asks once.
    has_redis: Cell<Option<bool>>,
    cells: HostCells,
}

/// Who has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The store that is there.
    Store,
    /// This gateway alone, since the store does not answer.
    Alone,
}

impl Store {
    /// Makes ready what is sent with every request; touches no store.
    pub fn new(gateways: Option<u32>) -> Self {
        Self {
            script: redis::script(),
            gateways,
            has_redis: Cell::new(None),
            cells: HostCells::default(),
        }
    }

    /// Decides a request of `demands`.
    pub fn decide(&self, demands: &[Demand]) -> Result<(Decision, Place), StoreError> {
        if !self.has_redis() {
            let decided = kv::decide(&self.cells, demands);
            return decided
                .map(|decision| (decision, Place::Store))
                .map_err(|error| match error {
                    StoreError::Denied(why) => StoreError::Denied(format!("{why}; redis: denied")),
                    other => other,
                });
        }
        match shared::decide(self, &self.cells, demands, self.gateways) {
            Ok(decision) => Ok((decision, Place::Store)),
            Err(error) => match self.gateways {
                Some(gateways) => shared::decide_alone(&self.cells, demands, gateways)
                    .map(|decision| (decision, Place::Alone))
                    .map_err(|_| error),
                None => Err(error),
            },
        }
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

impl Script for Store {
    fn eval(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, StoreError> {
        let keys: Vec<&str> = asks.iter().map(|ask| ask.demand.key.as_str()).collect();
        let arguments = redis::arguments(asks);
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        // A binding that lacks only its `scripts` grant is a mistake, and a failure: counting in one process
        // would hide it.
        let reply = host_redis::eval(&self.script, &keys, &arguments)
            .map_err(|error| StoreError::Failed(error.into()))?;
        let host_redis::Reply::Items(items) = reply else {
            return redis::answers(&[], asks.len());
        };
        let number = |item: &host_redis::Item| match item {
            host_redis::Item::Int(number) => *number,
            _ => -1,
        };
        redis::answers(&items.iter().map(number).collect::<Vec<_>>(), asks.len())
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
#[derive(Debug, Default)]
struct HostCells {
    /// It is not for this policy: not asked again.
    is_denied: Cell<bool>,
}

impl Cells for HostCells {
    fn now_us(&self) -> u64 {
        clock::monotonic_us()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_denied.get() {
            return Err(StoreError::Denied("kv: denied".to_owned()));
        }
        let value = host_kv::get(key);
        self.is_denied
            .set(value.as_ref().is_err_and(host_kv::Error::is_denied));
        value.map_err(kv_error)
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
