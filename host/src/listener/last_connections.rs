//! The end of accepting, such that no connection is lost that the kernel has made for us: to close a
//! socket resets those that wait to be accepted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

/// Handshakes that have begun may take so long: the round trip of nearly all clients.
const LAST_HANDSHAKES: Duration = Duration::from_millis(200);

/// A classic BPF program on the bytes of a TCP header (RFC 9293 §3.1): drops segments that have SYN and
/// not ACK, which begin a connection, and keeps all others.
fn no_new_connections() -> [SockFilter; 5] {
    const FLAGS_BYTE: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_BYTE),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}

/// Lets no new connection begin, gives those that have begun to `serve`, and closes the socket. Who
/// comes meanwhile is heard by another process on the port, or refused when the system asks again.
pub(super) async fn take(listener: TcpListener, mut serve: impl FnMut(TcpStream, SocketAddr)) {
    if let Err(error) = SockRef::from(&listener).attach_filter(&no_new_connections()) {
        tracing::debug!("new connections are not held off while the socket closes: {error}");
    }
    let end = Instant::now() + LAST_HANDSHAKES;
    while let Ok(accepted) = timeout_at(end, listener.accept()).await {
        if let Ok((stream, peer)) = accepted {
            serve(stream, peer);
        }
    }
    if let Err(error) = take_waiting(listener, serve) {
        tracing::debug!("the last connections: {error}");
    }
}

fn take_waiting(
    listener: TcpListener,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) -> io::Result<()> {
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                serve(TcpStream::from_std(stream)?, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
