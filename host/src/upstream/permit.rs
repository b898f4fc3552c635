//! A request's place among those that are in flight.

use std::rc::Rc;

use portcullis_config::{Circuit as Limits, Protocol};
use tokio::time::{Instant, timeout_at};

use super::attempt::AttemptError;
use super::circuit::Overflow;
use super::connection::EndpointPool;
use crate::policy::verdict::Failure;

/// Counts a request at its endpoint and at its upstream until it is dropped, with the body of the
/// response.
pub struct Permit {
    pool: Rc<EndpointPool>,
    has_connection: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// Too much is under way.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// No connection became free in time.
    #[error("no connection became free in time: circuit.max_connections are in use")]
    Timeout,
}

impl PermitError {
    /// The key of the upstream's circuit.
    fn limit(&self) -> &'static str {
        match self {
            Self::Overflow(Overflow::Requests) => "max_requests",
            Self::Overflow(Overflow::Pending) => "max_pending",
            Self::Timeout => "max_connections",
        }
    }
}

impl From<PermitError> for AttemptError {
    fn from(error: PermitError) -> Self {
        let failure = match error {
            PermitError::Overflow(_) => Failure::Overloaded,
            PermitError::Timeout => Failure::ConnectTimeout,
        };
        Self::unsent(failure, error)
    }
}

impl Permit {
    /// For one request to that endpoint. Over HTTP/1.1, where it takes a connection for itself, waits
    /// until `deadline` for that to be allowed.
    pub async fn take(
        pool: &Rc<EndpointPool>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Self, PermitError> {
        Self::wait(pool, limits, deadline)
            .await
            .inspect_err(|error| {
                pool.series.circuit_refused(error.limit());
            })
    }

    async fn wait(
        pool: &Rc<EndpointPool>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Self, PermitError> {
        let circuit = &pool.counts.circuit;
        circuit.enter(limits)?;
        pool.state.enter();
        let mut permit = Self {
            pool: pool.clone(),
            has_connection: false,
        };
        if pool.protocol() == Protocol::Http2 {
            // Requests share its few connections.
            return Ok(permit);
        }
        if !circuit.try_connect(limits) {
            match timeout_at(deadline, circuit.connect(limits)).await {
                Ok(connected) => connected?,
                Err(_) => return Err(PermitError::Timeout),
            }
        }
        permit.has_connection = true;
        Ok(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let circuit = &self.pool.counts.circuit;
        if self.has_connection {
            circuit.disconnect();
        }
        self.pool.state.leave();
        circuit.leave();
    }
}
