//! A binding of the config: where calls go.

use std::sync::Arc;

use deadpool_redis::redis::Value;
use portcullis_config::RedisBinding as Config;

use super::call::Call;
use super::circuit::CircuitState;
use super::connector::BindingProblem;
use super::servers::Servers;
use super::tls_files::TlsFiles;
use crate::telemetry::redis::BindingMetrics;
use crate::wasm::bindings::portcullis::capability::redis::Error;

/// A binding of the config, as all workers share it.
pub struct RedisBinding {
    server: Server,
}

/// What answers.
enum Server {
    /// Real ones.
    Remote(Arc<Servers>),
    /// None: answers are made up.
    Stub(Box<dyn Fn(Call) -> Result<Value, Error> + Send + Sync>),
}

impl RedisBinding {
    /// Prepares connections for `workers`; none is made before it is used.
    pub(super) fn new(
        name: &str,
        config: &Config,
        files: &TlsFiles,
        workers: usize,
        metrics: Arc<BindingMetrics>,
    ) -> Result<Self, BindingProblem> {
        let servers = Servers::new(name, config, files, workers, metrics)?;
        Ok(Self {
            server: Server::Remote(Arc::new(servers)),
        })
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
            Server::Remote(servers) => servers.ask(worker, call).await.map_err(Error::from),
            Server::Stub(answer) => answer(call),
        }
    }

    /// What its circuit is.
    pub fn circuit_state(&self) -> CircuitState {
        match &self.server {
            Server::Remote(servers) => servers.circuit_state(),
            Server::Stub(_) => CircuitState::Closed,
        }
    }
}
