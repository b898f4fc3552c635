//! A look at an HTTP/1 client's bytes before hyper reads them, for what hyper hides: of a request with both a
//! length and a transfer coding it shows the coding alone.
//!
//! RFC 9112 §6.1 allows that reading. But a proxy in front of the gateway that goes by the length has
//! then seen another request than the gateway, which is how requests are smuggled, so that such a
//! request is refused (`framing.rs`). It can only be found here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Whether the connection has carried a head with both a length and a transfer coding.
#[derive(Debug, Clone, Default)]
pub struct DoubleFraming(Arc<AtomicBool>);

impl DoubleFraming {
    /// True from then on.
    pub fn was_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose reader's lines are watched.
pub struct FramingWatch<S> {
    stream: S,
    lines: Lines,
    seen: DoubleFraming,
}

impl<S> FramingWatch<S> {
    /// Watches what is read from `stream`, from its first byte on, and tells `seen`.
    pub fn new(stream: S, seen: DoubleFraming) -> Self {
        Self {
            stream,
            lines: Lines::default(),
            seen,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FramingWatch<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let watch = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut watch.stream).poll_read(cx, buf))?;
        if watch.lines.have_both(&buf.filled()[before..]) {
            watch.seen.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FramingWatch<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The lines that have passed, as far as they matter.
///
/// It is not known where heads begin and end, nor need it be: a head has no empty line in it, so one with
/// both fields is a block of lines with both. A body may hold such a block, too; that matters only to
/// requests with a transfer coding on its connection, which are then refused without need.
#[derive(Default)]
struct Lines {
    /// The start of the line that is not complete.
    start: [u8; CODING.len()],
    /// Bytes in `start`.
    length: usize,
    has_length: bool,
    has_coding: bool,
}

impl Lines {
    /// Whether a block with both fields ends in these bytes, which continue the last ones.
    fn have_both(&mut self, bytes: &[u8]) -> bool {
        let mut found = false;
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            // Most lines are whole: those are looked at where they are.
            if self.length == 0 {
                found |= self.end_line(line);
            } else {
                self.take(line);
                let (start, length) = (self.start, std::mem::take(&mut self.length));
                found |= self.end_line(&start[..length]);
            }
        }
        self.take(rest);
        found
    }

    fn take(&mut self, part: &[u8]) {
        let free = &mut self.start[self.length..];
        let taken = part.len().min(free.len());
        free[..taken].copy_from_slice(&part[..taken]);
        self.length += taken;
    }

    fn end_line(&mut self, line: &[u8]) -> bool {
        match line {
            b"" | b"\r" => (self.has_length, self.has_coding) = (false, false),
            [b'c' | b'C', ..] if begins_with(line, LENGTH) => self.has_length = true,
            [b't' | b'T', ..] if begins_with(line, CODING) => self.has_coding = true,
            _ => {}
        }
        self.has_length && self.has_coding
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str =
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nhost: a\r\nTRANSFER-encoding:chunked\r\n\r\n";

    /// What is found however the bytes are cut.
    fn found(text: &str) -> bool {
        let results: Vec<bool> = (1..=text.len())
            .map(|size| {
                let mut lines = Lines::default();
                let mut pieces = text.as_bytes().chunks(size);
                pieces.any(|piece| lines.have_both(piece))
            })
            .collect();
        assert!(
            results.iter().all(|result| *result == results[0]),
            "{text:?}"
        );
        results[0]
    }

    #[test]
    fn a_head_with_both_fields_is_found_wherever_it_stands() {
        assert!(found(BOTH));
        assert!(found(&BOTH.replace("\r\n", "\n")));
        assert!(found(&format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{BOTH}")));
        assert!(found(&format!(
            "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc{BOTH}"
        )));
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        assert!(found(&format!("{chunked}{BOTH}")));
    }

    #[test]
    fn fields_of_different_heads_are_not_both() {
        let coding = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        let length = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
        assert!(!found(&format!("{coding}{length}{coding}")));
        let part = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n20\r\n--b\r\ncontent-length: 1\r\n\r\nx";
        assert!(!found(part));
        assert!(!found(
            "GET / HTTP/1.1\r\nx-content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
        ));
    }
}
