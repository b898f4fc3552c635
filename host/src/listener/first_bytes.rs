//! What a client in the clear speaks, told by its first bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The begin of HTTP/2's connection preface (RFC 9113 §3.4), in which no HTTP/1 request begins: `PRI` is
/// reserved.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";
/// Holds most request heads whole, so that the first request costs one read.
const FIRST_READ: usize = 4 << 10;

/// A stream of which some bytes have been read already: they come first.
pub(super) struct FirstBytes<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> FirstBytes<S> {
    /// Nothing has been read.
    pub(super) fn none(stream: S) -> Self {
        let first = Bytes::new();
        Self { first, stream }
    }

    /// Reads until it is clear whether the client speaks HTTP/2.
    pub(super) async fn read(mut stream: S) -> io::Result<(bool, Self)> {
        let mut read = BytesMut::with_capacity(FIRST_READ);
        let is_http2 = loop {
            let ended = stream.read_buf(&mut read).await? == 0;
            let length = read.len().min(HTTP2.len());
            if read[..length] != HTTP2[..length] || ended {
                break false;
            }
            if length == HTTP2.len() {
                break true;
            }
        };
        let first = read.freeze();
        Ok((is_http2, Self { first, stream }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first[..count]);
        this.first.advance(count);
        if this.first.is_empty() {
            // Gives the memory back.
            this.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_preface_is_http2_and_no_byte_is_lost() {
        let table: [(&[&str], bool); 5] = [
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"], true),
            (&["P", "RI * HT", "TP/2.0\r\n", "\r\nSM"], true),
            (&["POST / HTTP/1.1\r\n\r\n"], false),
            (&["PRI", " * HTTP/1.1\r\n\r\n"], false),
            (&["PR"], false),
        ];
        for (pieces, expected) in table {
            let mut io = in_pieces(pieces);
            let (is_http2, mut stream) = FirstBytes::read(&mut io).await.unwrap();
            assert_eq!(is_http2, expected, "{pieces:?}");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, pieces.concat());
        }
    }

    /// Each read gives one of the pieces.
    fn in_pieces(pieces: &[&'static str]) -> impl AsyncRead + Unpin {
        let mut chain: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in pieces.iter().rev() {
            chain = Box::new(AsyncReadExt::chain(piece.as_bytes(), chain));
        }
        chain
    }
}
