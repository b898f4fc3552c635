//! `redis`: the one binding that the operator gave a policy, under the granted key prefix.
//!
//! Connections are multiplexed: each worker keeps one for a binding and its calls are pipelined
//! over it. deadpool makes them, one at a time for a worker, and is asked again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, Script, Value,
};
use deadpool_redis::{Connection, Manager, Pool, Runtime};

use crate::wasm::bindings::portcullis::capability::redis::{Condition, Error, Host, Item, Reply};
use crate::wasm::state::HostState;

/// A binding of the config, as all workers share it.
pub struct RedisBinding {
    deadline: Duration,
    /// One for each worker: a connection lives in the runtime of the worker that made it.
    workers: Vec<WorkerConnection>,
}

struct WorkerConnection {
    pool: Pool,
    current: Mutex<Current>,
}

/// The connection in use; its number tells a failure of it from one of its forerunner's.
#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// A binding that can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("redis.{name}: {source}")]
pub struct BindingError {
    name: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RedisBinding {
    /// Prepares `workers` connections; none is made before it is used.
    pub fn new(
        name: &str,
        url: &str,
        deadline: Duration,
        workers: usize,
    ) -> Result<Self, BindingError> {
        let failed = |source| BindingError {
            name: name.to_owned(),
            source,
        };
        let connection =
            || -> Result<WorkerConnection, Box<dyn std::error::Error + Send + Sync>> {
                // `ask` keeps the deadline; the library's own 500 ms would cut longer ones short.
                let timeouts = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(deadline))
                    .set_response_timeout(None);
                let pool = Pool::builder(Manager::new_with_config(url, timeouts)?)
                    .max_size(1)
                    .runtime(Runtime::Tokio1)
                    .build()?;
                Ok(WorkerConnection {
                    pool,
                    current: Mutex::default(),
                })
            };
        let workers = (0..workers)
            .map(|_| connection())
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Self { deadline, workers })
    }

    /// One without a server, for a policy's smoke call: every command answers `unavailable`.
    pub fn unavailable() -> Self {
        Self {
            deadline: Duration::ZERO,
            workers: Vec::new(),
        }
    }

    /// Runs one command within the binding's deadline, connecting included.
    async fn ask<V, F>(
        &self,
        worker: usize,
        command: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<V, Error>
    where
        F: Future<Output = Result<V, RedisError>>,
    {
        let place = worker.checked_rem(self.workers.len());
        let Some(slot) = place.and_then(|place| self.workers.get(place)) else {
            return Err(Error::Unavailable(
                "there is no server in a smoke call".to_owned(),
            ));
        };
        let mut used = None;
        let ask = async {
            let (number, connection) = slot.connection().await?;
            used = Some(number);
            let answer = command(connection).await;
            if answer
                .as_ref()
                .is_err_and(RedisError::is_unrecoverable_error)
            {
                slot.forget(number);
            }
            answer.map_err(classify)
        };
        let answer = tokio::time::timeout(self.deadline, ask).await;
        answer.unwrap_or_else(|_| {
            // What does not answer is not asked again: the next call makes a connection.
            if let Some(number) = used {
                slot.forget(number);
            }
            Err(Error::TimedOut)
        })
    }
}

impl WorkerConnection {
    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Error> {
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

    fn forget(&self, number: u64) {
        let mut current = self.lock();
        if current.number == number {
            current.connection = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn get(&self) -> Option<(u64, MultiplexedConnection)> {
        let connection = self.connection.clone()?;
        Some((self.number, connection))
    }
}

fn classify(error: RedisError) -> Error {
    if error.is_timeout() {
        return Error::TimedOut;
    }
    match error.kind() {
        ErrorKind::Io => Error::Unavailable(error.to_string()),
        _ => Error::Server(error.to_string()),
    }
}

/// What a policy may do with a binding.
#[derive(Clone)]
pub struct RedisGrant {
    /// Where it goes.
    pub binding: Arc<RedisBinding>,
    /// Put before every key.
    pub prefix: String,
    /// Whether `eval` is allowed.
    pub scripts: bool,
    /// The scripts seen so far, with their digests; a policy has one or two.
    pub known_scripts: Arc<Mutex<HashMap<String, Arc<Script>>>>,
}

/// More scripts than this are not remembered: a policy that builds them by the request pays itself.
const MAX_KNOWN_SCRIPTS: usize = 32;

impl RedisGrant {
    /// A grant on that binding.
    pub fn new(binding: Arc<RedisBinding>, prefix: String, scripts: bool) -> Self {
        Self {
            binding,
            prefix,
            scripts,
            known_scripts: Arc::default(),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn script(&self, text: &str) -> Arc<Script> {
        let mut known = self
            .known_scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(script) = known.get(text) {
            return script.clone();
        }
        let script = Arc::new(Script::new(text));
        if known.len() < MAX_KNOWN_SCRIPTS {
            known.insert(text.to_owned(), script.clone());
        }
        script
    }

    async fn command<V: FromRedisValue>(&self, worker: usize, command: Cmd) -> Result<V, Error> {
        self.binding
            .ask(worker, |mut connection| async move {
                command.query_async(&mut connection).await
            })
            .await
    }
}

impl HostState {
    fn redis(&self) -> Result<&RedisGrant, Error> {
        match (&self.capabilities.redis, self.phase) {
            (Some(grant), Some(_)) => Ok(grant),
            (None, Some(_)) => Err(Error::Denied(
                "the policy has no grant for redis".to_owned(),
            )),
            (_, None) => Err(Error::Denied(
                "not during describe and configure".to_owned(),
            )),
        }
    }
}

impl Host for HostState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.called()?;
        let worker = self.worker;
        Ok(match self.redis() {
            Ok(grant) => grant.command(worker, Cmd::get(grant.key(&key))).await,
            Err(denied) => Err(denied),
        })
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
        when: Condition,
    ) -> wasmtime::Result<Result<bool, Error>> {
        self.called()?;
        let worker = self.worker;
        let grant = match self.redis() {
            Ok(grant) => grant,
            Err(denied) => return Ok(Err(denied)),
        };
        let mut command = redis::cmd("SET");
        command.arg(grant.key(&key)).arg(value);
        if let Some(ttl_ms) = ttl_ms {
            command.arg("PX").arg(ttl_ms.max(1));
        }
        match when {
            Condition::Always => {}
            Condition::IfAbsent => drop(command.arg("NX")),
            Condition::IfPresent => drop(command.arg("XX")),
        }
        Ok(grant
            .command::<Value>(worker, command)
            .await
            .map(|answer| answer != Value::Nil))
    }

    async fn delete(&mut self, keys: Vec<String>) -> wasmtime::Result<Result<u32, Error>> {
        self.called()?;
        let worker = self.worker;
        Ok(match self.redis() {
            Ok(_) if keys.is_empty() => Ok(0),
            Ok(grant) => {
                let keys: Vec<String> = keys.iter().map(|key| grant.key(key)).collect();
                grant.command(worker, Cmd::del(keys)).await
            }
            Err(denied) => Err(denied),
        })
    }

    async fn increment(
        &mut self,
        key: String,
        delta: i64,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<i64, Error>> {
        self.called()?;
        let worker = self.worker;
        let grant = match self.redis() {
            Ok(grant) => grant,
            Err(denied) => return Ok(Err(denied)),
        };
        let key = grant.key(&key);
        let mut pipeline = redis::pipe();
        pipeline.cmd("INCRBY").arg(&key).arg(delta);
        if let Some(ttl_ms) = ttl_ms {
            pipeline
                .cmd("PEXPIRE")
                .arg(&key)
                .arg(ttl_ms.max(1))
                .arg("NX")
                .ignore();
        }
        let answer: Result<(i64,), Error> = grant
            .binding
            .ask(worker, |mut connection| async move {
                pipeline.query_async(&mut connection).await
            })
            .await;
        Ok(answer.map(|(value,)| value))
    }

    async fn eval(
        &mut self,
        script: String,
        keys: Vec<String>,
        args: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<Reply, Error>> {
        self.called()?;
        let worker = self.worker;
        let grant = match self.redis() {
            Ok(grant) if grant.scripts => grant,
            Ok(_) => {
                return Ok(Err(Error::Denied(
                    "the grant does not allow scripts (scripts: true)".to_owned(),
                )));
            }
            Err(denied) => return Ok(Err(denied)),
        };
        let script = grant.script(&script);
        let keys: Vec<String> = keys.iter().map(|key| grant.key(key)).collect();
        let answer = grant
            .binding
            .ask(worker, |mut connection| async move {
                let mut call = script.prepare_invoke();
                for key in &keys {
                    call.key(key);
                }
                for arg in &args {
                    call.arg(arg);
                }
                call.invoke_async::<Value>(&mut connection).await
            })
            .await;
        Ok(answer.and_then(reply))
    }
}

fn reply(value: Value) -> Result<Reply, Error> {
    Ok(match value {
        Value::Array(items) => Reply::Items(items.into_iter().map(item).collect::<Result<_, _>>()?),
        other => match item(other)? {
            Item::Nil => Reply::Nil,
            Item::Int(number) => Reply::Int(number),
            Item::Data(bytes) => Reply::Data(bytes),
        },
    })
}

fn item(value: Value) -> Result<Item, Error> {
    Ok(match value {
        Value::Nil => Item::Nil,
        Value::Int(number) => Item::Int(number),
        Value::BulkString(bytes) => Item::Data(bytes),
        Value::SimpleString(text) => Item::Data(text.into_bytes()),
        Value::Okay => Item::Data(b"OK".to_vec()),
        Value::ServerError(error) => return Err(Error::Server(format!("{error:?}"))),
        other => {
            return Err(Error::Server(format!(
                "a reply that the contract has no form for: {other:?}"
            )));
        }
    })
}
