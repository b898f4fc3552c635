//! A Redis server in memory, for tests of policies: the commands that policies use, on a clock that is moved by hand.
//!
//! Its answers are those of Redis 7. A command that it does not know is an error that names it, so that a test fails
//! where this server would not tell the truth.

mod arguments;
mod hashes;
mod keys;
mod keyspace;
mod script;
mod sorted_sets;
mod strings;

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_redis::redis::{Arg, Value};

use self::arguments::Arguments;
use self::keyspace::Keyspace;
use crate::capability::clock::Clock;
use crate::capability::redis::Call;

/// Why a command has no answer, as Redis words it: `ERR value is not an integer or out of range`.
type Refused = String;
type Answered = Result<Value, Refused>;

/// The server.
#[derive(Debug)]
pub(super) struct MemoryRedis {
    keys: Mutex<Keyspace>,
    clock: Clock,
}

impl MemoryRedis {
    /// An empty one, on that clock.
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::default(),
            clock,
        })
    }

    /// Answers what a policy asks.
    ///
    /// # Errors
    /// The server's error reply.
    pub(super) fn call(&self, call: &Call) -> Answered {
        match call {
            Call::Command(command) => {
                let words = command.args_iter().filter_map(|word| match word {
                    Arg::Simple(bytes) => Some(bytes.to_vec()),
                    _ => None,
                });
                self.command(&words.collect::<Vec<_>>())
            }
            Call::Increment { key, delta, ttl_ms } => {
                let words = ["INCRBY", key, &delta.to_string()];
                let sum = self.command(&words.map(|word| word.as_bytes().to_vec()))?;
                if let Some(ttl_ms) = ttl_ms {
                    let words = ["PEXPIRE", key, &ttl_ms.max(&1).to_string(), "NX"];
                    self.command(&words.map(|word| word.as_bytes().to_vec()))?;
                }
                Ok(sum)
            }
            Call::Script { script, keys, args } => {
                let keys: Vec<_> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
                self.eval(script.text(), &keys, args)
            }
        }
    }

    /// Answers a command: its name and arguments.
    ///
    /// # Errors
    /// The server's error reply.
    pub(super) fn command(&self, words: &[Vec<u8>]) -> Answered {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.pass_to(self.now_us());
        run(&mut keys, words)
    }

    /// Runs a script. While it runs the clock stands still, and nothing else happens.
    ///
    /// # Errors
    /// The server's error reply, also for a script that fails.
    pub(super) fn eval(&self, script: &str, names: &[Vec<u8>], arguments: &[Vec<u8>]) -> Answered {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.pass_to(self.now_us());
        script::run(&mut keys, script, names, arguments)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.since_epoch().as_micros()).unwrap_or(u64::MAX)
    }
}

fn run(keys: &mut Keyspace, words: &[Vec<u8>]) -> Answered {
    let Some((name, rest)) = words.split_first() else {
        return Err("ERR empty command".to_owned());
    };
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let mut arguments = Arguments::new(&name, rest);
    let families = [
        keys::answer,
        strings::answer,
        hashes::answer,
        sorted_sets::answer,
    ];
    for answer in families {
        if let Some(answered) = answer(&name, keys, &mut arguments) {
            return answered;
        }
    }
    Err(format!(
        "ERR unknown command '{name}': the Redis of policy tests does not have it"
    ))
}

fn bulk(bytes: impl Into<Vec<u8>>) -> Value {
    Value::BulkString(bytes.into())
}

fn bulk_or_nil(bytes: Option<&Vec<u8>>) -> Value {
    bytes.map_or(Value::Nil, |bytes| bulk(bytes.clone()))
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
