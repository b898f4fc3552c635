//! From an endpoint's addresses to a stream of bytes: TCP, TLS.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::ConnectError;
use super::tls::Tls;
use crate::policy::verdict::Failure;

/// A stream of bytes to an endpoint.
pub(in crate::upstream) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the first of the addresses that takes it; `host` is who should be there. Errors do not
/// name the endpoint.
pub(super) async fn dial(
    host: &str,
    addresses: &[SocketAddr],
    tls: Option<&Tls>,
) -> Result<Wire, ConnectError> {
    let stream = tcp(addresses).await?;
    stream
        .set_nodelay(true)
        .map_err(|error| failed(Failure::Other, &error))?;
    match tls {
        None => Ok(Wire::Plain(stream)),
        Some(tls) => tls
            .handshake(host, stream)
            .await
            .map(|stream| Wire::Tls(Box::new(stream)))
            .map_err(|error| failed(Failure::Tls, &error)),
    }
}

async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut refused = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = Some(error),
        }
    }
    let detail = refused.map_or_else(|| "no address".to_owned(), |error| error.to_string());
    Err(failed(Failure::ConnectRefused, &detail))
}

fn failed(failure: Failure, cause: &dyn std::fmt::Display) -> ConnectError {
    ConnectError {
        failure,
        detail: cause.to_string(),
    }
}
