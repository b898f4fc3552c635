//! A connection to a collector, over which one message goes at a time.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_config::{Otlp, OtlpProtocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::collector::ExportError;
use crate::upstream::connection::tls::Tls;

/// It ends when it is dropped.
pub(super) enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Looks the host up, connects, secures.
    pub(super) async fn open(otlp: &Otlp, tls: Option<&Tls>) -> Result<Self, ExportError> {
        let (host, port) = (otlp.endpoint.host.as_str(), otlp.endpoint.port);
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| failed("cannot connect", &error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| failed("cannot connect", &error))?;
        match tls {
            None => speak(stream, otlp.protocol).await,
            Some(tls) => {
                let secured = tls.handshake(host, stream).await;
                let secured = secured.map_err(|error: io::Error| failed("TLS", &error))?;
                speak(secured, otlp.protocol).await
            }
        }
        .map_err(|error| failed("cannot begin", &error))
    }

    /// Whether a message can be tried over it.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Http(sender) => !sender.is_closed(),
            Self::Grpc(sender) => !sender.is_closed(),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ExportError> {
        let answered = match self {
            Self::Http(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
            Self::Grpc(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
        };
        answered.map_err(|error| failed("no answer", &error))
    }
}

async fn speak<S>(stream: S, protocol: OtlpProtocol) -> Result<Connection, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    Ok(match protocol {
        OtlpProtocol::Http => {
            let (sender, driver) = http1::handshake(stream).await?;
            tokio::spawn(driver);
            Connection::Http(sender)
        }
        OtlpProtocol::Grpc => {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(driver);
            Connection::Grpc(sender)
        }
    })
}

/// With its causes: hyper's errors say the least themselves.
fn failed(what: &str, error: &dyn std::error::Error) -> ExportError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ExportError::later(text)
}
