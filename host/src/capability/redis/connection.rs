//! One worker's connection: multiplexed, so that calls are pipelined over it. deadpool makes it, one at a
//! time, and is asked again after a failure.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::AsyncConnectionConfig;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::{Connection, Manager, Pool, Runtime};

use crate::wasm::bindings::portcullis::capability::redis::Error;

/// It lives in the runtime of the worker that made it.
pub(super) struct WorkerConnection {
    pool: Pool,
    current: Mutex<Current>,
}

/// The connection in use; its number tells a failure of it from one of its forerunner's.
#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl WorkerConnection {
    /// Prepares a connection; none is made before it is used.
    pub(super) fn new(
        url: &str,
        deadline: Duration,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // The binding keeps the deadline; the library's own 500 ms would cut longer ones short.
        let timeouts = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(deadline))
            .set_response_timeout(None);
        let pool = Pool::builder(Manager::new_with_config(url, timeouts)?)
            .max_size(1)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            current: Mutex::default(),
        })
    }

    /// The connection with its number; made if there is none.
    pub(super) async fn connection(&self) -> Result<(u64, MultiplexedConnection), Error> {
        if let Some(present) = self.lock().get() {
            return Ok(present);
        }
        let pooled = self
            .pool
            .get()
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        // Taken from the pool for good: one that has failed must not be handed out again.
        let connection = Connection::take(pooled);
        let mut current = self.lock();
        // Another call of this worker may have made one meanwhile.
        if let Some(present) = current.get() {
            return Ok(present);
        }
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    /// Has the next call make a connection, unless that has been done since.
    pub(super) fn forget(&self, number: u64) {
        let mut current = self.lock();
        if current.number == number {
            current.connection = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn get(&self) -> Option<(u64, MultiplexedConnection)> {
        let connection = self.connection.clone()?;
        Some((self.number, connection))
    }
}
