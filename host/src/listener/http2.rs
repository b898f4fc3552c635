//! HTTP/2 on one connection, with every limit said: a client pays with bytes and a few streams, not the
//! gateway with memory or time.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_config::ClientLimits;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Served;
use super::drain::Stage;
use super::frame_meter::{FrameBudget, FrameMeter};
use super::idle_io::IdleIo;
use super::reset_budget::ResetBudget;
use super::stream_body::{OpenStream, StreamBody};
use super::stream_tasks::StreamTasks;
use crate::gateway;

/// Bytes of the table that compresses heads: the protocol's initial value.
const HEADER_TABLE_BYTES: u32 = 4096;
/// The largest DATA frame that is taken: the protocol's initial value; larger ones hold up other streams.
const MAX_FRAME_BYTES: u32 = 16 << 10;
/// Bytes of a request's body that may be on the way before the upstream takes them. Four times the
/// protocol's initial value, so that an upload over 10 ms is not held to 6 MB/s.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same for a connection: the most that it makes the gateway keep.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of responses that a stream keeps for the client to take.
const MAX_SEND_BUFFER_BYTES: usize = 128 << 10;
/// Streams that the client has reset before the gateway took them up: h2's own default.
const MAX_PENDING_RESETS: usize = 20;
/// Streams of a connection that the gateway has reset for an error of the client (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 100;
/// A client that is silent so long is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a connection did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Http2Error {
    /// Of hyper's.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    /// Requests given up at once.
    #[error("too many requests were reset")]
    Resets,
    /// PING, SETTINGS and the like.
    #[error("too many frames without content")]
    Frames,
}

/// Serves requests until the client, the drain or a timeout ends the connection, or its budget is spent.
pub(super) async fn serve<S>(served: Served, stream: S) -> Result<(), Http2Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Served {
        worker,
        client,
        limits,
        timeouts,
        drain,
        ..
    } = served;
    let pulse = client.pulse.clone();
    let (metrics, tasks) = (
        worker.metrics(),
        StreamTasks::new(timeouts.write_idle, worker.metrics()),
    );
    let (resets, frames) = (
        Rc::new(ResetBudget::new(limits.h2_resets)),
        FrameBudget::new(),
    );
    pulse.multiplex();
    let io = IdleIo::new(
        stream,
        pulse.socket.clone(),
        timeouts.write_idle,
        metrics.clone(),
    );
    let io = FrameMeter::new(io, frames.clone());
    let (budget, places) = (resets.clone(), tasks.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, client) = (worker.clone(), client.clone());
        let stream = OpenStream::new(budget.clone(), places.begin());
        // In a box: on its way into a task of its own, a future is moved several times.
        Box::pin(async move {
            let is_head = request.method() == Method::HEAD;
            let response = gateway::handle(&worker, &client, request).await;
            Ok::<_, Infallible>(response.map(|body| StreamBody::new(body, stream, is_head)))
        })
    });
    let connection = builder(&limits, tasks).serve_connection(TokioIo::new(io), service);
    let is_abusive = || resets.is_spent() || frames.is_spent();
    let connection = drain.run(
        Stage::Closing,
        connection,
        |connection| connection.graceful_shutdown(),
        || pulse.is_expired(),
        is_abusive,
    );
    match pulse.drive(connection, None, &timeouts).await {
        Some(None) if resets.is_spent() => Err(Http2Error::Resets),
        Some(None) => Err(Http2Error::Frames),
        // It has been told so with GOAWAY.
        _ if pulse.is_expired() => {
            metrics.client.timed_out("keep_alive");
            Ok(())
        }
        Some(Some(ended)) => Ok(ended?),
        None => Ok(()),
    }
}

fn builder(limits: &ClientLimits, tasks: StreamTasks) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
