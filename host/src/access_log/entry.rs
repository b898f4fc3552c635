//! What is noted of one request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HOST, HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::{Method, Request, StatusCode, Uri, Version};

use crate::client::Client;
use crate::telemetry::trace::TRACEPARENT;
use crate::wasm::Phase;

/// One request that will be logged. Its record and its exchange share it; it is never locked for longer
/// than it takes to note something.
#[derive(Debug)]
pub struct Entry {
    pub(super) scheme: &'static str,
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) host: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) referer: Option<HeaderValue>,
    /// Of the fields that the config names, in its order.
    pub(super) headers: Vec<Option<HeaderValue>>,
    way: Mutex<Way>,
}

/// What has happened to the request on its way.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) request_id: String,
    /// As the client sent it; or the gateway's own, if it traces.
    pub(super) traceparent: Option<HeaderValue>,
    /// The peer, or who a trusted proxy says it is.
    pub(super) client: SocketAddr,
    /// Of the last attempt.
    pub(super) upstream: Option<Arc<str>>,
    /// Of the last attempt.
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) attempts: u32,
    /// All attempts, each until the head of its response or its failure.
    pub(super) upstream_time: Duration,
    pub(super) policies: Vec<Asked>,
}

/// A policy that was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) policy: Arc<str>,
    pub(super) phase: Phase,
    /// The verdict's or the fault's name.
    pub(super) verdict: &'static str,
    pub(super) time: Duration,
}

/// How it ended.
pub struct Outcome<'a> {
    /// The route that was found.
    pub route: Option<&'a str>,
    /// What was sent, 499 if nothing was.
    pub status: StatusCode,
    /// A stable code: the gateway's own errors, `client-closed`,
    /// `upstream-body`, `duration-exceeded`.
    pub error: Option<&'a str>,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the response's body.
    pub bytes_out: u64,
    /// From the request's head to the response's head.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end.
    pub total: Duration,
}

impl Entry {
    /// The request as it came; `headers` are the fields to log.
    pub fn new<B>(client: &Client, id: &str, request: &Request<B>, headers: &[HeaderName]) -> Self {
        let field = |name: &HeaderName| request.headers().get(name).cloned();
        Self {
            scheme: client.scheme,
            version: request.version(),
            method: request.method().clone(),
            target: request.uri().clone(),
            host: field(&HOST),
            user_agent: field(&USER_AGENT),
            referer: field(&REFERER),
            headers: headers.iter().map(field).collect(),
            way: Mutex::new(Way {
                request_id: id.to_owned(),
                traceparent: field(&TRACEPARENT),
                client: client.address,
                upstream: None,
                endpoint: None,
                attempts: 0,
                upstream_time: Duration::ZERO,
                policies: Vec::new(),
            }),
        }
    }

    /// Trusted proxies have said who the client is and what it calls the request, and which trace it belongs to is settled.
    pub fn admitted(&self, id: &str, client: SocketAddr, traceparent: Option<&HeaderValue>) {
        let mut way = self.way();
        if way.request_id != id {
            id.clone_into(&mut way.request_id);
        }
        way.client = client;
        way.traceparent = traceparent.cloned();
    }

    /// An attempt at an endpoint of an upstream begins.
    pub fn attempts(&self, upstream: &Arc<str>, endpoint: &Arc<str>) {
        let mut way = self.way();
        way.attempts += 1;
        way.upstream = Some(upstream.clone());
        way.endpoint = Some(endpoint.clone());
    }

    /// It has brought a response's head or failed, and taken that long.
    pub fn attempted(&self, time: Duration) {
        self.way().upstream_time += time;
    }

    /// A policy has answered or failed.
    pub fn asked(&self, policy: &Arc<str>, phase: Phase, verdict: &'static str, time: Duration) {
        self.way().policies.push(Asked {
            policy: policy.clone(),
            phase,
            verdict,
            time,
        });
    }

    pub(super) fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
