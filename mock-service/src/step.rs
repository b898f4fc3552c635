//! What the upstream does with one request. Paths and scripts are two ways to name a step.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The statuses that can be asked for. 1xx are interim answers, which hyper does not send for us.
pub(crate) const STATUSES: RangeInclusive<u16> = 200..=599;

/// One way to answer a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Answers 200 with a JSON description of the request.
    Echo,
    /// Answers with this status, from 200 to 599, and a short JSON body.
    Status(u16),
    /// Answers with exactly this; see [`Step::respond`] and [`Step::with_header`].
    Respond {
        /// From 200 to 599.
        status: u16,
        /// Sent as they are; `content-length` is added unless it is among them.
        headers: HeaderMap,
        /// Sent whole.
        body: Bytes,
    },
    /// Waits after the request was read, then takes the inner step; see [`Step::after`].
    Delay(Duration, Box<Step>),
    /// Fails some requests, answers the next one with 200, and begins again.
    Flaky {
        /// Requests that share a key are counted together.
        key: String,
        /// How many requests fail before one succeeds.
        failures: usize,
        /// What the failing ones are answered, from 200 to 599.
        status: u16,
    },
    /// Answers 200 with chunked encoding, every chunk flushed on its own.
    Stream {
        /// How many chunks.
        chunks: usize,
        /// The pause between two chunks.
        interval: Duration,
    },
    /// Answers 200 with a body of this many bytes.
    Bytes(usize),
    /// Announces `content-length: 100`, sends 10 bytes and closes the connection.
    Truncate,
    /// Reads the whole request, then closes the connection without an answer.
    Close,
    /// Reads the head only, then closes the connection without an answer.
    CloseAtHead,
    /// Reads the request and never answers. Ends when the client leaves or the service stops.
    Hang,
}

impl Step {
    /// Answers with this status, from 200 to 599, and this body, without headers of its own.
    pub fn respond(status: u16, body: impl Into<Bytes>) -> Self {
        Step::Respond {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// Adds a header to a [`Step::Respond`].
    ///
    /// # Panics
    /// When the step is another one, or the name or value is not a legal header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let Step::Respond { headers, .. } = &mut self else {
            panic!("only Step::Respond has headers");
        };
        let name = HeaderName::try_from(name).expect("the name is not a legal header name");
        let value = HeaderValue::try_from(value).expect("the value is not a legal header value");
        headers.append(name, value);
        self
    }

    /// The same step, taken after this delay.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Step::Delay(delay, Box::new(self))
    }

    /// Whether the body of the request is read before the step is taken.
    pub(crate) fn reads_body(&self) -> bool {
        match self {
            Step::CloseAtHead => false,
            Step::Delay(_, inner) => inner.reads_body(),
            _ => true,
        }
    }

    /// The status that the step names, if it names one.
    pub(crate) fn named_status(&self) -> Option<u16> {
        match self {
            Step::Status(status) | Step::Respond { status, .. } | Step::Flaky { status, .. } => {
                Some(*status)
            }
            Step::Delay(_, inner) => inner.named_status(),
            _ => None,
        }
    }
}
