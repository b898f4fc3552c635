//! A request's body, as far as attempts are concerned: which of them can have it.

use bytes::Bytes;

use super::body::RequestBody;
use super::replay_body::ReplaySource;
use crate::client_body::ClientBody;

/// Gives each attempt the body, if that is still possible.
pub enum BodySource {
    /// There is none.
    Empty,
    /// All of it is here.
    Whole(Bytes),
    /// For one attempt.
    Once(Option<ClientBody>),
    /// For all attempts, while the body is small.
    Replay(ReplaySource),
}

impl BodySource {
    /// A source of that body. Up to `replay_bytes` of it are kept, so that it can be sent again.
    pub fn new(body: ClientBody, replay_bytes: usize) -> Self {
        if http_body::Body::is_end_stream(&body) {
            return Self::Empty;
        }
        if let ClientBody::Replaced(bytes) = body {
            Self::Whole(bytes)
        } else if replay_bytes > 0 {
            Self::Replay(ReplaySource::new(body, replay_bytes))
        } else {
            Self::Once(Some(body))
        }
    }

    /// The body for the next attempt.
    pub fn for_attempt(&mut self) -> RequestBody {
        match self {
            Self::Empty => RequestBody::Empty,
            Self::Whole(bytes) => RequestBody::Whole(bytes.clone()),
            Self::Once(body) => body.take().map_or(RequestBody::Empty, RequestBody::Stream),
            Self::Replay(source) => RequestBody::Replay(source.next_attempt()),
        }
    }

    /// Whether another attempt can have the whole body.
    pub fn is_replayable(&self) -> bool {
        match self {
            Self::Empty | Self::Whole(_) => true,
            Self::Once(body) => body.is_some(),
            Self::Replay(source) => source.is_replayable(),
        }
    }
}
