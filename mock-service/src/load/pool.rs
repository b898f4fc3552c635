//! Connections to one target: taken for a request, given back after its answer.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::mix::Request;
use super::tally::Fate;
use super::target::Target;

type Connection = SendRequest<Empty<Bytes>>;

/// Idle connections. How many there are at most is for the caller to bound, by how many requests are under way.
#[derive(Debug)]
pub(super) struct Pool {
    target: Target,
    idle: RefCell<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            idle: RefCell::default(),
        }
    }

    /// Sends a request and reads its answer whole.
    pub(super) async fn send(&self, request: &Request) -> Fate {
        let Some(mut connection) = self.connection().await else {
            return Fate::NotConnected;
        };
        match self.exchange(&mut connection, request).await {
            Ok(status) => {
                self.idle.borrow_mut().push(connection);
                Fate::Answered(status)
            }
            Err(_) => Fate::Broken,
        }
    }

    async fn exchange(&self, connection: &mut Connection, request: &Request) -> hyper::Result<u16> {
        let mut head = http::Request::get(format!("{}{}", self.target.base, request.path))
            .header(HOST, &self.target.authority)
            .header("user-agent", "mock-service-load");
        if let Some(key) = &request.key {
            head = head.header("x-api-key", key);
        }
        let request = head
            .body(Empty::new())
            .expect("paths were checked when they were read");
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }

    /// An idle one that is still open, or a new one.
    async fn connection(&self) -> Option<Connection> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut connection) = idle else {
                return self.connect().await;
            };
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Option<Connection> {
        let stream = TcpStream::connect(&self.target.authority).await.ok()?;
        // Fails only when the server has left, which the request tells as well.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::task::spawn_local(connection);
        Some(sender)
    }
}
