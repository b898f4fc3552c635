//! One worker's connections to one endpoint: made, kept while idle, used again.
//!
//! A connection belongs to the worker's thread. One that speaks HTTP/1.1 is given back by the body of
//! its response, so that it is never used while something of the last exchange is under way; one that
//! speaks HTTP/2 is shared by as many exchanges as its peer takes.

mod cut;
mod dial;
pub mod h1;
pub mod h2;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{Endpoint, Protocol};

pub(super) use self::dial::Wire;
use self::h1::{H1Pool, Sender};
use self::h2::{H2Pool, StreamLease};
use self::tls::Tls;
use crate::policy::verdict::Failure;
use crate::telemetry::attempt::AttemptSlots;
use crate::telemetry::upstream::UpstreamSeries;
use crate::upstream::endpoint_state::EndpointState;
use crate::upstream::live_upstream::Counts;

/// How an upstream's endpoints are spoken to.
#[derive(Clone)]
pub struct Transport {
    /// HTTP/1.1 or HTTP/2.
    pub protocol: Protocol,
    /// `None` for plain TCP.
    pub tls: Option<Tls>,
}

impl Transport {
    /// A stream of bytes to `host` at the first of the addresses that takes it, beside any pool.
    pub(super) async fn dial(
        &self,
        host: &str,
        addresses: &[SocketAddr],
    ) -> Result<Wire, ConnectError> {
        dial::dial(host, addresses, self.tls.as_ref()).await
    }

    /// `https` over TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Equal for transports whose connections can stand for each other.
    pub fn identity(&self) -> String {
        let tls = self.tls.as_ref().map_or("plain", Tls::identity);
        format!("{:?} {tls}", self.protocol)
    }
}

/// Connections to one endpoint.
pub struct EndpointPool {
    /// Where the config says that they lead.
    pub endpoint: Endpoint,
    /// The same as a `Host` field.
    pub authority: Arc<str>,
    /// What the process knows of the endpoint.
    pub state: Arc<EndpointState>,
    /// What it knows of the upstream.
    pub counts: Arc<Counts>,
    /// What is measured of the upstream,
    pub series: Arc<UpstreamSeries>,
    /// and of attempts at this endpoint.
    pub attempts: AttemptSlots,
    transport: Transport,
    h1: H1Pool,
    h2: H2Pool,
    idle_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ConnectError {
    /// How the field calls it.
    pub failure: Failure,
    detail: String,
}

impl EndpointPool {
    /// No connections yet. `max_idle` bounds the HTTP/1.1 ones that are kept.
    pub fn new(
        endpoint: Endpoint,
        (state, counts): (Arc<EndpointState>, Arc<Counts>),
        transport: Transport,
        series: Arc<UpstreamSeries>,
        max_idle: usize,
        idle_timeout: Duration,
    ) -> Self {
        let authority = endpoint.authority().into();
        let attempts = AttemptSlots::new(series.endpoint(&endpoint.host, endpoint.port));
        Self {
            endpoint,
            authority,
            state,
            counts,
            series,
            attempts,
            transport,
            h1: H1Pool::new(max_idle, idle_timeout),
            h2: H2Pool::default(),
            idle_timeout,
        }
    }

    /// What the endpoint is spoken to with.
    pub fn protocol(&self) -> Protocol {
        self.transport.protocol
    }

    /// `https` over TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        self.transport.scheme()
    }

    /// The HTTP/1.1 connection that was used last and is ready for a request.
    pub fn take(&self) -> Option<Sender> {
        self.h1.take()
    }

    /// Takes back an HTTP/1.1 connection whose exchange has ended.
    pub fn give_back(&self, sender: Sender) {
        self.h1.give_back(sender);
    }

    /// Closes what has been idle too long.
    pub fn close_idle(&self) {
        self.h1.close_idle();
        self.h2.close_idle(self.idle_timeout);
    }

    /// A new HTTP/1.1 connection.
    pub async fn connect(&self, timeout: Duration) -> Result<Sender, ConnectError> {
        self.in_time(timeout, async {
            let opened = match self.dial().await? {
                Wire::Plain(stream) => h1::open(stream).await,
                Wire::Tls(stream) => h1::open(*stream).await,
            };
            opened.map_err(|error| self.failed(Failure::Other, &error))
        })
        .await
    }

    /// A stream of an HTTP/2 connection, of a new one if none has room.
    pub async fn stream(&self, timeout: Duration) -> Result<StreamLease, ConnectError> {
        if let Some(lease) = self.h2.lease() {
            return Ok(lease);
        }
        self.in_time(timeout, async {
            // Who comes while a connection is being made waits for it, and makes another one only if
            // that has no room left.
            let _opening = self.h2.opening.lock().await;
            if let Some(lease) = self.h2.lease() {
                return Ok(lease);
            }
            let opened = match self.dial().await? {
                Wire::Plain(stream) => self.h2.open(stream).await,
                Wire::Tls(stream) => self.h2.open(*stream).await,
            };
            opened.map_err(|error| {
                self.failed(Failure::Protocol, &format_args!("no HTTP/2 there: {error}"))
            })
        })
        .await
    }

    async fn in_time<T>(
        &self,
        timeout: Duration,
        opening: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(self.failed(
                Failure::ConnectTimeout,
                &format_args!("no connection within {timeout:?}"),
            )),
        }
    }

    async fn dial(&self) -> Result<Wire, ConnectError> {
        let (host, addresses) = (&self.endpoint.host, &self.state.addresses);
        dial::dial(host, addresses, self.transport.tls.as_ref())
            .await
            .map_err(|error| self.failed(error.failure, &error.detail))
    }

    fn failed(&self, failure: Failure, cause: &dyn std::fmt::Display) -> ConnectError {
        ConnectError {
            failure,
            detail: format!("{}: {cause}", self.authority),
        }
    }
}
