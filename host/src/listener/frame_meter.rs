//! Counts the frames of an HTTP/2 connection that bring nothing, such as PING, SETTINGS, PRIORITY and
//! empty DATA: each costs its sender next to nothing, and nobody else limits them (CVE-2019-9512 and its like).
//!
//! Reads frame headers (RFC 9113 §4.1) as the bytes pass; what is in the frames is h2's.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames that bring nothing, beyond those that do. Browsers send a few; gRPC clients send a PING for each
/// burst of data that they get, which the gateway's writes make up for.
const BUDGET: u32 = 1_000;
/// A shorter write is an answer to a PING or SETTINGS, or a few of them: no frame with content.
const CONTENT_BYTES: usize = 128;
const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

/// What is left for frames that bring nothing.
#[derive(Clone)]
pub(super) struct FrameBudget(Rc<Cell<u32>>);

impl FrameBudget {
    /// All of it is left.
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(BUDGET)))
    }

    /// Whether the connection should be closed.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Once it is spent, it stays so.
    fn earn(&self) {
        if !self.is_spent() {
            self.0.set(BUDGET.min(self.0.get() + 1));
        }
    }

    fn spend(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A connection whose frames are counted as they are read.
pub(super) struct FrameMeter<S> {
    stream: S,
    frames: Frames,
}

impl<S> FrameMeter<S> {
    /// At the begin of the connection's preface.
    pub(super) fn new(stream: S, budget: FrameBudget) -> Self {
        let frames = Frames::new(budget);
        Self { stream, frames }
    }
}

/// Where in the frames the bytes are.
struct Frames {
    budget: FrameBudget,
    /// Bytes until the next header.
    skip: usize,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come.
    filled: usize,
}

impl Frames {
    fn new(budget: FrameBudget) -> Self {
        Self {
            budget,
            skip: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            filled: 0,
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER_BYTES {
                self.filled = 0;
                self.count();
            }
        }
    }

    fn count(&mut self) {
        const END_STREAM: u8 = 1;
        let [high, middle, low, kind, flags, ..] = self.header;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            // DATA with content, or the end of it.
            0 if self.skip > 0 || flags & END_STREAM != 0 => self.budget.earn(),
            // HEADERS. CONTINUATION is limited by h2, and so are streams that are reset (the reset budget).
            1 => self.budget.earn(),
            3 | 9 => {}
            // WINDOW_UPDATE makes room for what the gateway sends, and costs no answer.
            8 => {}
            // Empty DATA, PRIORITY, SETTINGS, PING, GOAWAY, and what nobody knows.
            _ => self.budget.spend(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameMeter<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.frames.read(&buffer.filled()[before..]);
        polled
    }
}

impl<S: Unpin> FrameMeter<S> {
    fn written(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(count)) if *count >= CONTENT_BYTES) {
            self.frames.budget.earn();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameMeter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(&written);
        written
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

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u8::try_from(payload).unwrap();
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER_BYTES + payload, 0xff);
        frame
    }

    /// What is left after the frames, each `times`, in reads of `size` bytes.
    fn left(frames: &[Vec<u8>], times: usize, size: usize) -> u32 {
        let budget = FrameBudget::new();
        let mut reader = Frames::new(budget.clone());
        let mut bytes = vec![b'x'; PREFACE_BYTES];
        bytes.extend(frames.concat().repeat(times));
        bytes.chunks(size).for_each(|chunk| reader.read(chunk));
        budget.0.get()
    }

    #[test]
    fn frames_that_bring_nothing_spend_the_budget_however_they_are_read() {
        let table = [
            (vec![frame(6, 0, 8)], BUDGET - 10),
            (vec![frame(4, 0, 6)], BUDGET - 10),
            (vec![frame(0, 0, 0)], BUDGET - 10),
            (vec![frame(2, 0, 5), frame(0xbe, 0, 200)], BUDGET - 20),
            (
                vec![frame(1, 4, 30), frame(0, 0, 100), frame(0, 1, 0)],
                BUDGET,
            ),
            (vec![frame(8, 0, 4), frame(3, 0, 4), frame(9, 0, 9)], BUDGET),
            (vec![frame(6, 0, 8), frame(0, 0, 1)], BUDGET),
        ];
        for (frames, expected) in table {
            for size in [1, 7, 9, 64, 100_000] {
                assert_eq!(left(&frames, 10, size), expected, "{frames:?} by {size}");
            }
        }
    }

    #[test]
    fn a_flood_spends_it_for_good() {
        assert_eq!(left(&[frame(6, 0, 8)], 1_000, 4_096), 0);
        let pings = frame(6, 0, 8).repeat(1_000);
        assert_eq!(left(&[pings, frame(0, 0, 1)], 1, 4_096), 0);
    }
}
