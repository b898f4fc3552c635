//! What a policy asks of a server, as data.

use std::sync::Arc;

use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{self, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

/// One round trip, unless a script is new to the server. Keys have their prefix.
pub enum Call {
    /// A command.
    Command(Cmd),
    /// INCRBY, with PEXPIRE when the key has no time yet: answers the new value.
    Increment {
        /// The counter.
        key: String,
        /// What is added.
        delta: i64,
        /// How long a new key lives, in milliseconds.
        ttl_ms: Option<u32>,
    },
    /// EVALSHA, with EVAL where the server does not know the script.
    Script {
        /// What is run.
        script: Arc<Script>,
        /// KEYS
        keys: Vec<String>,
        /// ARGV
        args: Vec<Vec<u8>>,
    },
}

/// A Lua script with its digest.
pub struct Script {
    text: String,
    sha: String,
}

impl Script {
    /// Computes the digest.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            sha: redis::Script::new(text).get_hash().to_owned(),
        }
    }

    /// The source.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-1 of the text in hexadecimal digits, as EVALSHA takes it.
    pub fn sha(&self) -> &str {
        &self.sha
    }
}

impl Call {
    /// Sends it over that connection. An error of the server is an `Err`, also one inside of an answer.
    pub(super) async fn send(
        &self,
        connection: &mut impl ConnectionLike,
    ) -> Result<Value, RedisError> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Increment { key, delta, ttl_ms } => {
                let increment = increment(key, *delta, *ttl_ms);
                let (value,) = increment.query_async(connection).await?;
                Ok(value)
            }
            Self::Script { script, keys, args } => {
                let by_digest = eval("EVALSHA", &script.sha, keys, args);
                let answer = by_digest.query_async(connection).await;
                let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
                match answer {
                    Err(error) if error.kind() == unknown => {
                        let by_text = eval("EVAL", &script.text, keys, args);
                        by_text.query_async(connection).await
                    }
                    answer => answer,
                }
            }
        }
    }
}

fn increment(key: &str, delta: i64, ttl_ms: Option<u32>) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("INCRBY").arg(key).arg(delta);
    if let Some(ttl_ms) = ttl_ms {
        let expire = pipeline.cmd("PEXPIRE").arg(key);
        expire.arg(ttl_ms.max(1)).arg("NX").ignore();
    }
    pipeline
}

fn eval(command: &str, script: &str, keys: &[String], args: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(script).arg(keys.len()).arg(keys);
    for arg in args {
        command.arg(arg.as_slice());
    }
    command
}
