//! HTTP/1.1 and HTTP/1.0 on one connection. hyper minds keep-alive, `Expect: 100-continue` and what HTTP/1.0 lacks.

use std::convert::Infallible;
use std::pin::Pin;

use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis_config::ClientLimits;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{ConnectionError, Served};
use super::drain::Stage;
use super::idle_io::IdleIo;
use crate::gateway;
use crate::head::framing_watch::FramingWatch;

/// Bytes of one read, where a head may not be larger.
const BUFFER_BYTES: usize = 64 << 10;
/// Fields for which hyper has room without an allocation: it is told of no fewer, and we count again.
const FREE_FIELDS: usize = 100;

/// Serves requests until the client, the drain or a timeout ends the connection.
pub(super) async fn serve<S>(served: Served, stream: S) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Served {
        worker,
        client,
        limits,
        timeouts,
        drain,
        socket,
    } = served;
    let metrics = worker.metrics();
    let (pulse, speaker) = (client.pulse.clone(), client.clone());
    let io = IdleIo::new(
        stream,
        pulse.socket.clone(),
        timeouts.write_idle,
        metrics.clone(),
    );
    let io = FramingWatch::new(io, client.double_framing.clone());
    let is_closing = drain.is_closing();
    let service = service_fn(move |request| {
        let (worker, client, is_closing) = (worker.clone(), client.clone(), is_closing.clone());
        // In a box: a connection without a request has no room for one, and none is moved around.
        Box::pin(async move {
            let mut response = gateway::handle(&worker, &client, request).await;
            if is_closing.get() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = builder(&limits).serve_connection(TokioIo::new(io), service);
    let run = drain.clone().run(
        Stage::Ending,
        &mut connection,
        |connection| Pin::new(&mut **connection.get_mut()).graceful_shutdown(),
        // Its socket says so, see `IdleIo`.
        || false,
        || false,
    );
    let ended = pulse.drive(run, Some(socket), &timeouts).await;
    let ended = ended.flatten().unwrap_or(Ok(()));
    if let Err(error) = &ended
        && error.is_parse_too_large()
    {
        metrics.client.refused_request("head");
    }
    ended?;
    let tunnel = speaker.tunnel.take();
    if let Some(tunnel) = tunnel {
        let parts = connection.into_parts();
        let client = parts.io.into_inner();
        tunnel.run(client, &parts.read_buf).await?;
    }
    drop(drain);
    Ok(())
}

/// HTTP/1 within the limits. Its timeouts are the socket's, see [`IdleIo`].
fn builder(limits: &ClientLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes.max(BUFFER_BYTES))
        .max_header_size(limits.head_bytes);
    if limits.headers > FREE_FIELDS {
        builder.max_headers(limits.headers);
    }
    builder
}
