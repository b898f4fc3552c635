//! A binding of the config: where calls go, and how long they may take.

use std::time::Duration;

use deadpool_redis::redis::{ErrorKind, RedisError, Value};

use super::call::Call;
use super::connection::WorkerConnection;
use crate::wasm::bindings::portcullis::capability::redis::Error;

/// A binding of the config, as all workers share it.
pub struct RedisBinding {
    server: Server,
}

/// What answers.
enum Server {
    /// Real ones.
    Remote {
        deadline: Duration,
        workers: Vec<WorkerConnection>,
    },
    /// None: answers are made up.
    Stub(Box<dyn Fn(Call) -> Result<Value, Error> + Send + Sync>),
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
        let workers = (0..workers)
            .map(|_| WorkerConnection::new(url, deadline))
            .collect::<Result<_, _>>()
            .map_err(|source| BindingError {
                name: name.to_owned(),
                source,
            })?;
        let server = Server::Remote { deadline, workers };
        Ok(Self { server })
    }

    /// One without a server, for a policy's smoke call: every call answers `unavailable`.
    pub fn unavailable() -> Self {
        Self::stub(|_| {
            Err(Error::Unavailable(
                "there is no server in a smoke call".to_owned(),
            ))
        })
    }

    /// One whose answers are made up, for tests of policies.
    pub fn stub(answer: impl Fn(Call) -> Result<Value, Error> + Send + Sync + 'static) -> Self {
        Self {
            server: Server::Stub(Box::new(answer)),
        }
    }

    /// Has a call of that worker answered within the binding's deadline, connecting included.
    pub async fn ask(&self, worker: usize, call: Call) -> Result<Value, Error> {
        match &self.server {
            Server::Stub(answer) => answer(call),
            Server::Remote { deadline, workers } => {
                let place = worker.checked_rem(workers.len());
                match place.and_then(|place| workers.get(place)) {
                    Some(connection) => ask_server(connection, *deadline, &call).await,
                    None => Err(Error::Unavailable("there is no worker".to_owned())),
                }
            }
        }
    }
}

async fn ask_server(
    worker: &WorkerConnection,
    deadline: Duration,
    call: &Call,
) -> Result<Value, Error> {
    let mut used = None;
    let ask = async {
        let (number, mut connection) = worker.connection().await?;
        used = Some(number);
        let answer = call.send(&mut connection).await;
        if answer
            .as_ref()
            .is_err_and(RedisError::is_unrecoverable_error)
        {
            worker.forget(number);
        }
        answer.map_err(classify)
    };
    let answer = tokio::time::timeout(deadline, ask).await;
    answer.unwrap_or_else(|_| {
        // What does not answer is not asked again: the next call makes a connection.
        if let Some(number) = used {
            worker.forget(number);
        }
        Err(Error::TimedOut)
    })
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
