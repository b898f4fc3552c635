//! Lines of foreign output: of any bytes, of any length, with bounded memory.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A longer line is cut into several: a log line that a person reads is shorter.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Reads lines. What is no UTF-8 becomes U+FFFD, and a carriage return at the end goes away.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source: BufReader::new(source),
            line: Vec::new(),
        }
    }

    /// The next line, without its end; `None` when there is no more, or when reading fails. What was read is kept if this future
    /// is dropped.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let buffer = self.source.fill_buf().await.unwrap_or_default();
            if buffer.is_empty() {
                return (!self.line.is_empty()).then(|| self.take());
            }
            let room = MAX_LINE_BYTES - self.line.len();
            let part = &buffer[..buffer.len().min(room)];
            let end = part.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(part.len());
            self.line.extend_from_slice(&part[..taken]);
            let line_break = usize::from(end.is_some());
            self.source.consume(taken + line_break);
            if end.is_some() || self.line.len() == MAX_LINE_BYTES {
                return Some(self.take());
            }
        }
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end_matches('\r').to_owned();
        self.line.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn lines_of_any_bytes_are_read() {
        assert_eq!(
            lines(b"a\n\nb\r\n\xff\nend").await,
            ["a", "", "b", "\u{fffd}", "end"]
        );
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let mut bytes = vec![b'x'; 2 * MAX_LINE_BYTES + 3];
        bytes.extend_from_slice(b"\ny\n");
        let lengths: Vec<_> = lines(&bytes).await.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE_BYTES, MAX_LINE_BYTES, 3, 1]);
    }
}
