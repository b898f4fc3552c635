//! The contract's `redis` for policies: each function makes a [`Call`] and reads its answer.

use deadpool_redis::redis::{self, Cmd, FromRedisValue, Value, from_redis_value};

use super::call::Call;
use super::grant::RedisGrant;
use crate::wasm::bindings::portcullis::capability::redis::{Condition, Error, Host, Item, Reply};
use crate::wasm::state::HostState;

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
            Ok(grant) => command(grant, worker, Cmd::get(grant.key(&key))).await,
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
        let mut set = redis::cmd("SET");
        set.arg(grant.key(&key)).arg(value);
        if let Some(ttl_ms) = ttl_ms {
            set.arg("PX").arg(ttl_ms.max(1));
        }
        match when {
            Condition::Always => {}
            Condition::IfAbsent => drop(set.arg("NX")),
            Condition::IfPresent => drop(set.arg("XX")),
        }
        let answer = grant.binding.ask(worker, Call::Command(set)).await;
        Ok(answer.map(|answer| answer != Value::Nil))
    }

    async fn delete(&mut self, keys: Vec<String>) -> wasmtime::Result<Result<u32, Error>> {
        self.called()?;
        let worker = self.worker;
        Ok(match self.redis() {
            Ok(_) if keys.is_empty() => Ok(0),
            Ok(grant) => {
                let keys: Vec<String> = keys.iter().map(|key| grant.key(key)).collect();
                command(grant, worker, Cmd::del(keys)).await
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
        let call = Call::Increment {
            key: grant.key(&key),
            delta,
            ttl_ms,
        };
        Ok(grant.binding.ask(worker, call).await.and_then(read))
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
        let call = Call::Script {
            script: grant.script(&script),
            keys: keys.iter().map(|key| grant.key(key)).collect(),
            args,
        };
        Ok(grant.binding.ask(worker, call).await.and_then(reply))
    }
}

async fn command<V: FromRedisValue>(
    grant: &RedisGrant,
    worker: usize,
    command: Cmd,
) -> Result<V, Error> {
    let answer = grant.binding.ask(worker, Call::Command(command)).await;
    answer.and_then(read)
}

fn read<V: FromRedisValue>(value: Value) -> Result<V, Error> {
    from_redis_value(value).map_err(|error| Error::Server(error.to_string()))
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
