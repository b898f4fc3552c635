//! A copy of a body that is kept while the body passes, and handed over when all of it has passed.

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

/// What has passed so far. Dropped before the end, it tells who waits that there is no copy.
#[derive(Debug)]
pub struct BodyCopy {
    chunks: Vec<Bytes>,
    left: usize,
    whole: oneshot::Sender<Bytes>,
}

impl BodyCopy {
    /// A copy of at most `limit` bytes, and where the whole of it arrives.
    pub fn new(limit: usize) -> (Self, oneshot::Receiver<Bytes>) {
        let (whole, receiver) = oneshot::channel();
        let copy = Self {
            chunks: Vec::new(),
            left: limit,
            whole,
        };
        (copy, receiver)
    }

    /// Keeps a chunk, which is shared and not copied. `None`: with it, the body is too large.
    pub fn with(mut self, chunk: &Bytes) -> Option<Self> {
        self.left = self.left.checked_sub(chunk.len())?;
        self.chunks.push(chunk.clone());
        Some(self)
    }

    /// The body has ended.
    pub fn finish(self) {
        let whole = match self.chunks.as_slice() {
            [only] => only.clone(),
            chunks => {
                let length = chunks.iter().map(Bytes::len).sum();
                let mut whole = BytesMut::with_capacity(length);
                for chunk in chunks {
                    whole.extend_from_slice(chunk);
                }
                whole.freeze()
            }
        };
        // Who waited may have gone.
        let _ = self.whole.send(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_arrives_whole_or_not_at_all() {
        let table: [(&[&'static str], Option<&str>); 5] = [
            (&[], Some("")),
            (&["abc"], Some("abc")),
            (&["ab", "", "cd"], Some("abcd")),
            (&["abcde"], None),
            (&["abc", "de"], None),
        ];
        for (chunks, expected) in table {
            let (copy, mut whole) = BodyCopy::new(4);
            let copy = chunks.iter().try_fold(copy, |copy, chunk| {
                copy.with(&Bytes::from_static(chunk.as_bytes()))
            });
            if let Some(copy) = copy {
                copy.finish();
            }
            let received = whole.try_recv().ok();
            assert_eq!(
                received.as_deref(),
                expected.map(str::as_bytes),
                "{chunks:?}"
            );
        }
    }
}
