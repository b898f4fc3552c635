//! What hooks are told and what they answer, in the host's own words.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::exchange::LocalResponse;

/// Answer of `on-request`.
#[derive(Debug)]
pub enum RequestVerdict {
    /// Go on.
    Next,
    /// Answer the client; the upstream is not asked.
    Respond(LocalResponse),
}

/// Answer of `on-response`.
#[derive(Debug)]
pub enum ResponseVerdict {
    /// Go on.
    Next,
    /// Send this instead.
    Replace(LocalResponse),
}

/// Answer of `on-attempt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// No opinion: the next policy is asked.
    Abstain,
    /// Give the client what there is.
    Deliver,
    /// Try again, within the host's bounds.
    Retry(RetryPlan),
}

/// What a verdict is called in logs.
pub trait VerdictName {
    /// A stable name.
    fn name(&self) -> &'static str;
}

impl VerdictName for RequestVerdict {
    fn name(&self) -> &'static str {
        match self {
            RequestVerdict::Next => "next",
            RequestVerdict::Respond(_) => "respond",
        }
    }
}

/// Of `on-log`, which has nothing to answer.
impl VerdictName for () {
    fn name(&self) -> &'static str {
        "done"
    }
}

impl VerdictName for ResponseVerdict {
    fn name(&self) -> &'static str {
        match self {
            ResponseVerdict::Next => "next",
            ResponseVerdict::Replace(_) => "replace",
        }
    }
}

impl VerdictName for AttemptVerdict {
    fn name(&self) -> &'static str {
        match self {
            AttemptVerdict::Abstain => "abstain",
            AttemptVerdict::Deliver => "deliver",
            AttemptVerdict::Retry(_) => "retry",
        }
    }
}

/// How to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPlan {
    /// Wait before the next attempt.
    pub delay: Duration,
    /// Which endpoint to take.
    pub endpoint: EndpointChoice,
    /// Time of the next attempt, if shorter than the upstream's.
    pub timeout: Option<Duration>,
}

/// Which endpoint the next attempt goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointChoice {
    /// As balancing has it.
    Any,
    /// Not the last one, where there is another.
    Other,
    /// The last one.
    Same,
}

/// Facts of an attempt that has ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// Authority of the endpoint.
    pub endpoint: Arc<str>,
    /// Time of this attempt.
    pub elapsed: Duration,
    /// Time of the whole exchange.
    pub total: Duration,
    /// Time left until the deadline.
    pub remaining: Duration,
    /// Some of the request may have reached the endpoint.
    pub sent: bool,
    /// The method is idempotent (RFC 9110 §9.2.2), or the route's `retry_non_idempotent` says that
    /// sending the request again does no harm.
    pub idempotent: bool,
    /// The body, if any, can be sent again.
    pub replayable: bool,
    /// Why there is no response, if there is none.
    pub failure: Option<Failure>,
}

/// What `on-log` is told of an exchange that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What was sent, 499 if nothing was.
    pub status: StatusCode,
    /// Attempts that were made.
    pub attempts: u32,
    /// From the request's head to the end.
    pub total: Duration,
    /// Of the request's body.
    pub request_bytes: u64,
    /// Of the response's body.
    pub response_bytes: u64,
    /// `ok`, or the stable code of what went wrong, such as `client-closed`.
    pub ended: &'static str,
}

/// Why an attempt brought no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The upstream has no endpoint to offer.
    NoEndpoint,
    /// The upstream's circuit is open: as much is under way as it may be sent.
    Overloaded,
    /// The endpoint's name has no address.
    Dns,
    /// The endpoint refused the connection, or no way leads there.
    ConnectRefused,
    /// No connection within `timeouts.connect`.
    ConnectTimeout,
    /// TLS did not come about: whom it met is not trusted, or they have no protocol in common.
    Tls,
    /// The request could not be written.
    Send,
    /// The connection ended before a response.
    Reset,
    /// No response head within the attempt's time.
    ResponseTimeout,
    /// The response is not HTTP.
    Protocol,
    /// The client's body ended early; policies are not asked.
    RequestBody,
    /// Anything else.
    Other,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoEndpoint,
        Self::Overloaded,
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Send,
        Self::Reset,
        Self::ResponseTimeout,
        Self::Protocol,
        Self::RequestBody,
        Self::Other,
    ];

    /// The word of the contract, also in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Failure::NoEndpoint => "no-endpoint",
            Failure::Overloaded => "overloaded",
            Failure::Dns => "dns",
            Failure::ConnectRefused => "connect-refused",
            Failure::ConnectTimeout => "connect-timeout",
            Failure::Tls => "tls",
            Failure::Send => "send",
            Failure::Reset => "reset",
            Failure::ResponseTimeout => "response-timeout",
            Failure::Protocol => "protocol",
            Failure::RequestBody => "request-body",
            Failure::Other => "other",
        }
    }
}
