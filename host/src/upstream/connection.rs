//! One worker's connections to one endpoint: made, kept while idle, used again.
//!
//! A connection belongs to the worker's thread. It is given back by the body of its response, so
//! that it is never used while something of the last exchange is under way.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_config::Endpoint;
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::endpoint_state::EndpointState;
use super::live_upstream::Counts;
use crate::policy::verdict::Failure;

/// Sends requests over one connection, one after another.
pub type Sender = http1::SendRequest<RequestBody>;

/// Bytes of a response's head, and of one read: hyper's own minimum is 8 KiB, its default 400 KiB.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Fields of a response's head.
const MAX_FIELDS: usize = 200;

/// Idle connections to one endpoint.
pub struct EndpointPool {
    /// Where the config says that they lead.
    pub endpoint: Endpoint,
    /// The same as a `Host` field.
    pub authority: Arc<str>,
    /// What the process knows of the endpoint.
    pub state: Arc<EndpointState>,
    /// What it knows of the upstream.
    pub counts: Arc<Counts>,
    idle: RefCell<Vec<Idle>>,
    max_idle: usize,
    idle_timeout: Duration,
}

struct Idle {
    sender: Sender,
    since: Instant,
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
    /// No connections yet.
    pub fn new(
        endpoint: Endpoint,
        state: Arc<EndpointState>,
        counts: Arc<Counts>,
        max_idle: usize,
        idle_timeout: Duration,
    ) -> Self {
        let authority = endpoint.authority().into();
        Self {
            endpoint,
            authority,
            state,
            counts,
            idle: RefCell::default(),
            max_idle,
            idle_timeout,
        }
    }

    /// The connection that was used last and is ready for a request.
    pub fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let mut index = idle.len();
        while index > 0 {
            index -= 1;
            let entry = &idle[index];
            if entry.sender.is_closed() || entry.since.elapsed() >= self.idle_timeout {
                idle.remove(index);
            } else if entry.sender.is_ready() {
                return Some(idle.remove(index).sender);
            }
        }
        None
    }

    /// Takes back a connection whose exchange has ended.
    pub fn give_back(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max_idle {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes what has been idle too long. The oldest stand first.
    pub fn close_idle(&self) {
        self.idle
            .borrow_mut()
            .retain(|entry| !entry.sender.is_closed() && entry.since.elapsed() < self.idle_timeout);
    }

    /// A new connection.
    pub async fn connect(&self, timeout: Duration) -> Result<Sender, ConnectError> {
        match tokio::time::timeout(timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError {
                failure: Failure::ConnectTimeout,
                detail: format!("{}: no connection within {timeout:?}", self.authority),
            }),
        }
    }

    async fn open(&self) -> Result<Sender, ConnectError> {
        let failed = |failure, cause: &dyn std::fmt::Display| ConnectError {
            failure,
            detail: format!("{}: {cause}", self.authority),
        };
        let mut refused = None;
        for address in &self.state.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    return handshake(stream)
                        .await
                        .map_err(|error| failed(Failure::Other, &error));
                }
                Err(error) => refused = Some(error),
            }
        }
        let detail = refused.map_or_else(|| "no address".to_owned(), |error| error.to_string());
        Err(failed(Failure::ConnectRefused, &detail))
    }
}

async fn handshake(stream: TcpStream) -> Result<Sender, Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!("upstream connection: {error}");
        }
    });
    Ok(sender)
}
