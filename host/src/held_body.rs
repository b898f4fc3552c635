//! A body of which some was read ahead: what has come is held, and goes on before the rest.
//!
//! Bytes are held in one piece, so that many small parts take no more memory than a few large ones.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Memory for a body that does not tell its length, at first.
const FIRST_BYTES: usize = 4 << 10;

/// Why a body can't be had whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has more bytes than were asked for.
    #[error("the body is too large")]
    TooLarge,
    /// It broke off.
    #[error("the body broke off")]
    Aborted,
}

/// A body, read ahead.
pub struct HeldBody<B: Body> {
    held: Vec<u8>,
    trailers: Option<HeaderMap>,
    failure: Option<B::Error>,
    /// The last reading waits for the next part.
    awaited: bool,
    /// The receiver has been made to wait before it is told of the failure.
    paused: bool,
    /// `rest` has come to its end, good or bad.
    ended: bool,
    rest: B,
}

/// The body's bytes, unless there are more than `limit`.
pub fn whole(body: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
    if body.len() > limit {
        Err(ReadError::TooLarge)
    } else {
        Ok(body.to_vec())
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> HeldBody<B> {
    /// Nothing has been read yet.
    pub fn new(rest: B) -> Self {
        Self {
            held: Vec::new(),
            trailers: None,
            failure: None,
            awaited: false,
            paused: false,
            ended: false,
            rest,
        }
    }

    /// Ready when all of the body is held, or when it is known to have more than `limit` bytes or to be
    /// broken. No more is held than `limit` bytes and the part that exceeds them.
    pub fn poll_whole(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        loop {
            if self.failure.is_some() {
                return Poll::Ready(Err(ReadError::Aborted));
            }
            if self.size_hint().lower() > limit as u64 {
                return Poll::Ready(Err(ReadError::TooLarge));
            }
            self.ended |= self.rest.is_end_stream();
            if self.ended {
                return Poll::Ready(whole(&self.held, limit));
            }
            let next = Pin::new(&mut self.rest).poll_frame(cx);
            self.awaited = next.is_pending();
            match ready!(next) {
                Some(Ok(frame)) => self.hold(frame, limit),
                Some(Err(error)) => (self.failure, self.ended) = (Some(error), true),
                None => self.ended = true,
            }
        }
    }

    fn hold(&mut self, frame: Frame<Bytes>, limit: usize) {
        match frame.into_data() {
            Ok(data) => {
                let needed = self.held.len() + data.len();
                if needed > self.held.capacity() {
                    let announced = needed + self.rest.size_hint().lower() as usize;
                    let doubled = (self.held.capacity() * 2).max(FIRST_BYTES);
                    let capacity = doubled.min(limit).max(announced).max(needed);
                    self.held.reserve_exact(capacity - self.held.len());
                }
                self.held.extend_from_slice(&data);
            }
            Err(frame) => {
                if let Ok(fields) = frame.into_trailers() {
                    (self.trailers, self.ended) = (Some(fields), true);
                }
            }
        }
    }

    /// Whether its sender has kept a reader waiting until now, or has broken off.
    pub fn is_awaited(&self) -> bool {
        self.awaited || self.failure.is_some()
    }

    /// Nobody waits for it any more.
    pub fn give_up_reading(&mut self) {
        self.awaited = false;
    }

    /// What has come and not gone on.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// What is still to come.
    pub fn rest(&self) -> &B {
        &self.rest
    }

    /// Why it broke off, if it has.
    pub fn failure(&self) -> Option<&B::Error> {
        self.failure.as_ref()
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for HeldBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let body = self.get_mut();
        if !body.held.is_empty() {
            let held = std::mem::take(&mut body.held);
            return Poll::Ready(Some(Ok(Frame::data(held.into()))));
        }
        if let Some(fields) = body.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(fields))));
        }
        // hyper writes out what it has when it must wait, and throws it away at an error.
        if body.failure.is_some() && !std::mem::replace(&mut body.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(error) = body.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if body.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut body.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let nothing_held =
            self.held.is_empty() && self.trailers.is_none() && self.failure.is_none();
        nothing_held && (self.ended || self.rest.is_end_stream())
    }

    /// Not exact where trailers follow: HTTP/1.1 has none after a body that tells its length.
    fn size_hint(&self) -> SizeHint {
        let held = self.held.len() as u64;
        if self.ended && self.trailers.is_none() && self.failure.is_none() {
            return SizeHint::with_exact(held);
        }
        let rest = match self.ended {
            true => SizeHint::default(),
            false => self.rest.size_hint(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(held.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(held.saturating_add(upper));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use http::header::{HeaderName, HeaderValue};

    use super::*;

    /// Parts that are there at once; a `None` among them is one pause.
    struct Parts(VecDeque<Option<Frame<Bytes>>>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(None) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn parts(texts: &[&'static str]) -> HeldBody<Parts> {
        let frames = texts.iter().map(|text| match *text {
            "-" => None,
            text => Some(Frame::data(Bytes::from_static(text.as_bytes()))),
        });
        HeldBody::new(Parts(frames.collect()))
    }

    fn read(body: &mut HeldBody<Parts>, limit: usize) -> Option<Result<String, ReadError>> {
        let mut cx = Context::from_waker(Waker::noop());
        match body.poll_whole(limit, &mut cx) {
            Poll::Ready(read) => Some(read.map(|bytes| String::from_utf8(bytes).unwrap())),
            Poll::Pending => None,
        }
    }

    fn passed_on(mut body: HeldBody<Parts>) -> String {
        let mut cx = Context::from_waker(Waker::noop());
        let mut text = String::new();
        loop {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
                }
                Poll::Ready(_) => return text,
                Poll::Pending => {}
            }
        }
    }

    #[test]
    fn a_body_is_read_up_to_the_limit_and_passes_in_any_case() {
        let table: [(&[&str], usize, Result<&str, ReadError>); 6] = [
            (&[], 0, Ok("")),
            (&["abc"], 3, Ok("abc")),
            (&["abc"], 2, Err(ReadError::TooLarge)),
            (&["ab", "", "cd"], 4, Ok("abcd")),
            (&["ab", "cd", "ef"], 3, Err(ReadError::TooLarge)),
            (&["ab"], 0, Err(ReadError::TooLarge)),
        ];
        for (texts, limit, expected) in table {
            let mut body = parts(texts);
            for _ in 0..2 {
                assert_eq!(
                    read(&mut body, limit),
                    Some(expected.map(str::to_owned)),
                    "{texts:?}"
                );
            }
            assert_eq!(passed_on(body), texts.concat());
        }
    }

    #[test]
    fn a_reading_that_is_given_up_is_taken_up_again() {
        let mut body = parts(&["ab", "-", "cd"]);
        assert_eq!(read(&mut body, 10), None);
        assert_eq!(body.held(), b"ab");
        assert_eq!(read(&mut body, 10), Some(Ok("abcd".to_owned())));
        let mut larger = parts(&["abc", "de"]);
        assert_eq!(read(&mut larger, 1), Some(Err(ReadError::TooLarge)));
        assert_eq!(read(&mut larger, 5), Some(Ok("abcde".to_owned())));
    }

    #[test]
    fn trailers_follow_and_keep_the_length_open() {
        let fields = HeaderMap::from_iter([(
            HeaderName::from_static("x-sum"),
            HeaderValue::from_static("1"),
        )]);
        let frames = [
            Frame::data(Bytes::from_static(b"ab")),
            Frame::trailers(fields),
        ];
        let mut body = HeldBody::new(Parts(frames.into_iter().map(Some).collect()));
        assert_eq!(read(&mut body, 2), Some(Ok("ab".to_owned())));
        assert_eq!(body.size_hint().exact(), None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(frame) => frame.map(Result::unwrap),
            Poll::Pending => panic!("all is there"),
        };
        assert!(next().unwrap().is_data());
        assert_eq!(next().unwrap().into_trailers().unwrap()["x-sum"], "1");
        assert!(next().is_none());
    }

    #[test]
    fn many_small_parts_take_no_more_memory_than_their_bytes() {
        let mut body = parts(&["x"; 5000]);
        assert_eq!(read(&mut body, 5000), Some(Ok("x".repeat(5000))));
        assert_eq!(body.held.capacity(), 5000);
    }
}
