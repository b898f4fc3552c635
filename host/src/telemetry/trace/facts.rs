//! What is noted of a request and of what was done for it, in the host's own words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::HeaderValue;
use http::{Method, Uri, Version};
use portcullis_config::Endpoint;

use super::spans::SpanId;

/// A request as it came.
#[derive(Debug)]
pub(super) struct RequestFacts {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    /// Of the client's own connection.
    pub(super) scheme: &'static str,
    pub(super) host: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) peer: SocketAddr,
    /// The peer, or who a trusted proxy says it is.
    pub(super) client: SocketAddr,
    pub(super) request_id: String,
}

/// How a request has ended.
#[derive(Debug)]
pub struct Ending {
    /// The route that was found.
    pub route: Option<Arc<str>>,
    /// What was sent; `None` if nothing was.
    pub status: Option<u16>,
    /// The stable code of what kept it from ending well.
    pub error: Option<&'static str>,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the response's body.
    pub bytes_out: u64,
}

/// A request that is sent to an endpoint.
#[derive(Debug)]
pub struct AttemptFacts {
    /// 1 for the first.
    pub number: u32,
    /// As it is sent.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// As it is configured.
    pub endpoint: Endpoint,
    /// Path and query as they are sent.
    pub target: Uri,
    /// Its address, where it is one of several of a name.
    pub address: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
}

/// What has come of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The head of a response, with its status and the version that is spoken there.
    Answered(u16, Version),
    /// No response; the failure's name.
    Failed(&'static str),
    /// Nobody waits for it any more.
    Cancelled,
}

/// A hook of a policy.
#[derive(Debug)]
pub(super) struct HookFacts {
    pub(super) policy: Arc<str>,
    pub(super) phase: &'static str,
}

/// How a hook has ended.
#[derive(Debug)]
pub(super) enum HookEnd {
    /// With that verdict.
    Verdict(&'static str),
    /// It was not called: the use's fault circuit was open.
    NotCalled,
    /// With a fault: its kind, and what it says.
    Fault(&'static str, String),
    /// The request was given up.
    Cancelled,
}

/// A span below the server's.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) what: What,
}

/// What a span is of.
#[derive(Debug)]
pub(super) enum What {
    Attempt(AttemptFacts, AttemptEnd),
    Hook(HookFacts, HookEnd),
}
