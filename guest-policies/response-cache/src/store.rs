//! Where responses are kept: in the gateway's memory, or in Redis.

use portcullis_sdk::{kv, redis};

/// The store of one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// This gateway process alone.
    Kv,
    /// All gateways with the binding.
    Redis,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no room.
    Full,
    /// It failed, or is not granted; says how.
    Failed(String),
}

impl Store {
    /// The value, if the key is there.
    ///
    /// # Errors
    ///
    /// `Failed`.
    pub fn get(self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Kv => kv::get(key).map_err(from_kv),
            Self::Redis => redis::get(key).map_err(from_redis),
        }
    }

    /// Sets the value for so long.
    ///
    /// # Errors
    ///
    /// `Full`, `Failed`.
    pub fn set(self, key: &str, value: &[u8], ttl_ms: u64) -> Result<(), Failure> {
        let ttl_ms = Some(u32::try_from(ttl_ms).unwrap_or(u32::MAX).max(1));
        match self {
            Self::Kv => kv::set(key, value, ttl_ms).map_err(from_kv),
            Self::Redis => {
                let set = redis::set(key, value, ttl_ms, redis::Condition::Always);
                set.map(|_| ()).map_err(from_redis)
            }
        }
    }

    /// Removes the key; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// `Failed`.
    pub fn delete(self, key: &str) -> Result<(), Failure> {
        match self {
            Self::Kv => kv::delete(key).map(|_| ()).map_err(from_kv),
            Self::Redis => redis::delete(&[key]).map(|_| ()).map_err(from_redis),
        }
    }
}

fn from_kv(error: kv::Error) -> Failure {
    match error {
        kv::Error::Full => Failure::Full,
        other => Failure::Failed(other.into()),
    }
}

fn from_redis(error: redis::Error) -> Failure {
    match error {
        // What Redis answers where it has no memory left and may evict nothing.
        redis::Error::Server(answer) if answer.starts_with("OOM") => Failure::Full,
        other => Failure::Failed(other.into()),
    }
}
