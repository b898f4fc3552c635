//! Two connections that have switched protocols, and what passes between them.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use crate::client::Client;
use crate::exchange::Exchange;
use crate::response_body::Content;
use crate::upgrade;
use crate::upstream::permit::Permit;

/// Bytes that wait in each direction while the other side is slow.
const BUFFER_BYTES: usize = 16 << 10;

/// A service's connection that has switched protocols.
#[derive(Debug)]
pub struct Switched {
    connection: OnUpgrade,
    protocol: HeaderValue,
    /// How long nothing may pass: the upstream's `tunnel_idle`.
    pub idle_timeout: Duration,
}

impl Switched {
    /// The connection behind a 101 that names one of the protocols of `offer`; nothing otherwise.
    pub fn accept(
        response: Response<Incoming>,
        offer: Option<&HeaderValue>,
    ) -> Option<(Response<()>, Self)> {
        let offer = offer?.to_str().ok()?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return None;
        }
        let protocol = response.headers().get(UPGRADE)?.clone();
        let chosen = protocol.to_str().ok()?.trim();
        let mut offered = offer.split(',').map(str::trim);
        if !offered.any(|protocol| protocol.eq_ignore_ascii_case(chosen)) {
            return None;
        }
        let (mut head, _) = response.into_parts();
        let connection = head.extensions.remove::<OnUpgrade>()?;
        let switched = Self {
            connection,
            protocol,
            idle_timeout: Duration::MAX,
        };
        Some((Response::from_parts(head, ()), switched))
    }
}

/// What is to run over a client's connection once its 101 has been sent.
pub struct Tunnel {
    service: OnUpgrade,
    /// The request counts as in flight as long as the tunnel.
    _permit: Option<Permit>,
    idle_timeout: Duration,
}

/// Tells the client that the protocol changes, if the service and all policies have left it at that, and
/// leaves the tunnel with the client's connection.
pub fn prepare(client: &Client, exchange: &mut Exchange, content: &mut Content) {
    let Content::Upstream(body) = content else {
        return;
    };
    let Some((switched, permit)) = body.take_switched() else {
        return;
    };
    // Where a policy has put another status in its place, the service's connection closes here.
    if let Some(response) = &mut exchange.response
        && response.status == StatusCode::SWITCHING_PROTOCOLS
    {
        upgrade::ask(&mut response.headers, &switched.protocol);
        client.tunnel.replace(Some(Tunnel {
            service: switched.connection,
            _permit: permit,
            idle_timeout: switched.idle_timeout,
        }));
    }
}

impl Tunnel {
    /// Passes bytes both ways until both sides have ended, one has failed, or nothing has passed for the
    /// idle timeout. The end of one side is passed on to the other, which may go on. `first` is what the
    /// client has sent already.
    pub async fn run<C>(self, client: C, first: &[u8]) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let service = self.service.await.map_err(io::Error::other)?;
        let mut service = TokioIo::new(service);
        service.write_all(first).await?;
        let last = Cell::new(Instant::now());
        let mut client = Watched {
            stream: client,
            last: &last,
        };
        let copy = tokio::io::copy_bidirectional_with_sizes(
            &mut client,
            &mut service,
            BUFFER_BYTES,
            BUFFER_BYTES,
        );
        tokio::select! {
            copied = copy => copied.map(drop),
            () = idle(&last, self.idle_timeout) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Returns when nothing has passed for `timeout`.
async fn idle(last: &Cell<Instant>, timeout: Duration) {
    loop {
        let until = last.get() + timeout;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// A stream that notes when something has passed, either way.
struct Watched<'a, S> {
    stream: S,
    last: &'a Cell<Instant>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.last.set(Instant::now());
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.last.set(Instant::now());
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
