//! `portcullis ready`: for a container's health check, where there is no curl.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A gateway on the same machine answers in less than a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Which gateway is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Ready {
    /// Address of its metrics listener (`metrics.address` in its config)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    metrics: SocketAddr,
}

/// Fails unless the gateway answers that it wants traffic.
pub(super) async fn ready(arguments: &Ready) -> Result<(), String> {
    let address = arguments.metrics;
    match tokio::time::timeout(TIMEOUT, ask(address)).await {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(format!("portcullis: {address}: not ready ({status})")),
        Ok(Err(error)) => Err(format!("portcullis: {address}: {error}")),
        Err(_) => Err(format!(
            "portcullis: {address}: no answer within {TIMEOUT:?}"
        )),
    }
}

async fn ask(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}
