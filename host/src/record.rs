//! What is measured of a request.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, StatusCode, Version};

use crate::access_log::entry::{Entry, Outcome};
use crate::client::Client;
use crate::client_body::BodyWatch;
use crate::error::GatewayError;
use crate::exchange::{ResponseHead, ResponseSource};
use crate::kept_exchange::KeptExchange;
use crate::listener::pulse::Pulse;
use crate::policy::body_passage::BodyPassage;
use crate::policy::verdict::Summary;
use crate::respond;
use crate::telemetry::route::{RouteSlots, Served};
use crate::telemetry::trace::{Ending, RequestTrace, TRACEPARENT};
use crate::worker::Revision;

/// What nginx notes for a client that went away before its answer; it is never sent.
const CLIENT_CLOSED: u16 = 499;

/// One request; recorded when nothing more happens to it, whatever the reason.
pub struct Record {
    revision: Rc<Revision>,
    /// Place of the route that was found.
    route: Option<usize>,
    method: Method,
    version: Version,
    scheme: &'static str,
    /// Of the response, once there is one.
    pub status: StatusCode,
    /// When the head had arrived.
    pub started: Instant,
    /// When its exchange must have ended, if at all.
    pub until: Option<Instant>,
    /// The request's body while it is on its way.
    pub body: BodyWatch,
    /// The policies through which that passes.
    pub passage: BodyPassage,
    /// Where its exchange is when it has ended, if policies want to be asked `on-log`.
    pub kept: Option<KeptExchange>,
    pulse: Rc<Pulse>,
    entered: bool,
    trace: RequestTrace,
    /// What the access log is told, if it wants this request.
    entry: Option<Arc<Entry>>,
    /// The response's head has gone to the client.
    is_answered: bool,
    /// From the start to the response's head.
    first_byte: Option<Duration>,
    /// The part of that which attempts at upstreams took.
    upstream_time: Duration,
    /// Bytes of the response's body.
    sent: u64,
    /// The response's body has come to its end.
    ended: bool,
    error: Option<&'static str>,
}

impl Record {
    /// A request that has just arrived.
    pub fn new<B>(revision: Rc<Revision>, client: &Client, id: &str, request: &Request<B>) -> Self {
        let lines = revision.access_log.as_ref();
        let entry = lines.and_then(|lines| lines.entry(client, id, request));
        let snapshot = &revision.snapshot;
        let tracer = snapshot.exporting.tracer.as_ref();
        let trusted = &snapshot.head_rules.trusted_proxies;
        let trace = tracer.map(|tracer| tracer.begin(request, client, trusted));
        client.pulse.begin();
        let status = StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            revision,
            route: None,
            method: request.method().clone(),
            version: request.version(),
            scheme: client.scheme,
            status,
            started: Instant::now(),
            until: None,
            body: BodyWatch::default(),
            passage: BodyPassage::default(),
            kept: None,
            pulse: client.pulse.clone(),
            entered: false,
            trace: trace.unwrap_or_default(),
            entry,
            is_answered: false,
            first_byte: None,
            upstream_time: Duration::ZERO,
            sent: 0,
            ended: false,
            error: None,
        }
    }

    /// It is served by the route at that place, until its end.
    pub fn routed(&mut self, route: usize) {
        self.route = Some(route);
        self.slots().begins();
    }

    fn slots(&self) -> &RouteSlots {
        let route = self.route.and_then(|route| self.revision.slots.get(route));
        route.unwrap_or(&self.revision.unrouted)
    }

    /// Where the access log wants noted what happens on the way.
    pub fn entry(&self) -> Option<Arc<Entry>> {
        self.entry.clone()
    }

    /// Where spans of the request are noted.
    pub fn trace(&self) -> RequestTrace {
        self.trace.clone()
    }

    /// Who the client is, and what the request is called, is settled; its fields tell of its trace from here on.
    pub fn admitted(&self, id: &str, client: SocketAddr, headers: &mut HeaderMap) {
        if let Some(tracer) = &self.revision.snapshot.exporting.tracer {
            tracer.admit(&self.trace, id, client, headers);
        }
        if let Some(entry) = &self.entry {
            entry.admitted(id, client, headers.get(TRACEPARENT));
        }
    }

    /// The response's head goes to the client; attempts at upstreams took `upstream_time` of the way to it.
    pub fn answered(&mut self, head: &ResponseHead, upstream_time: Duration) {
        self.status = head.status;
        self.is_answered = true;
        if let ResponseSource::Gateway(code) = head.source {
            self.error = Some(code);
        }
        self.first_byte = Some(self.started.elapsed());
        self.upstream_time = upstream_time;
    }

    /// Bytes of the response's body go to the client.
    pub fn sends(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The response's body has come to its end.
    pub fn ends(&mut self) {
        self.ended = true;
    }

    /// The response's body breaks off, for a reason with a stable code.
    pub fn breaks_off(&mut self, code: &'static str) {
        self.error = Some(code);
    }

    fn outcome(&self, total: Duration) -> Outcome<'_> {
        let names = &self.revision.snapshot.route_names;
        Outcome {
            route: self
                .route
                .and_then(|route| names.get(route))
                .map(|name| &**name),
            status: self.status,
            error: self.failure(),
            bytes_in: self.body.received(),
            bytes_out: self.sent,
            first_byte: self.first_byte,
            total,
        }
    }

    fn ending(&self) -> Ending {
        let names = &self.revision.snapshot.route_names;
        Ending {
            route: self.route.and_then(|route| names.get(route)).cloned(),
            status: self.is_answered.then(|| self.status.as_u16()),
            error: self.failure(),
            bytes_in: self.body.received(),
            bytes_out: self.sent,
        }
    }

    /// The stable code of what kept it from ending well, if anything did.
    fn error(&self) -> Option<&'static str> {
        // An answer to HEAD has no body, whatever there is to read.
        let ended = self.ended || self.is_answered && self.method == Method::HEAD;
        self.error.or_else(|| (!ended).then_some("client-closed"))
    }

    /// The same without the answers that a route is there to give.
    fn failure(&self) -> Option<&'static str> {
        self.error().filter(|code| !respond::is_of_the_route(code))
    }

    fn served(&self, total: Duration) -> Served<'_> {
        let first_byte = self.first_byte;
        Served {
            method: &self.method,
            version: self.version,
            scheme: self.scheme,
            status: self.status,
            error: self.failure(),
            total,
            overhead: first_byte.map(|time| time.saturating_sub(self.upstream_time)),
        }
    }

    fn summary(&self, attempts: u32, total: Duration) -> Summary {
        Summary {
            status: self.status,
            attempts,
            total,
            request_bytes: self.body.received(),
            response_bytes: self.sent,
            ended: self.error().unwrap_or("ok"),
        }
    }

    /// The bound that the request's body has broken: then nothing else is to blame.
    pub fn body_error(&self) -> Option<GatewayError> {
        self.body.fault().map(Into::into)
    }

    /// What else has broken it off on its way: a policy through which it passes.
    pub fn passage_error(&self) -> Option<GatewayError> {
        self.passage.take_failure()
    }

    /// Whether the connection can serve no other request: the rest of this one's body is in the way.
    pub fn must_be_last(&self) -> bool {
        self.body.fault().is_some() && !self.pulse.is_multiplexed()
    }

    /// The response is broken off by the route's `limits.duration`.
    pub fn took_too_long(&self) {
        self.revision.metrics.client.refused_request("duration");
    }

    /// Takes one of `limit` places for requests in flight, and keeps it as long as this lives.
    pub fn enter(&mut self, limit: usize) -> bool {
        self.entered = self.revision.permits.enter(limit);
        self.entered
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let revision = &self.revision;
        self.pulse.end();
        self.passage.end(self.is_answered);
        if self.entered {
            revision.permits.leave();
        }
        if let Some(fault) = self.body.fault() {
            revision.metrics.client.refused_request(fault.name());
        }
        let total = self.started.elapsed();
        self.trace.end(|| self.ending());
        let slots = self.slots();
        if self.route.is_some() {
            slots.ends();
        }
        slots.record(&self.served(total));
        if let (Some(entry), Some(lines)) = (&self.entry, &revision.access_log) {
            lines.write(entry, &self.outcome(total));
        }
        if let Some(exchange) = self.kept.as_ref().and_then(KeptExchange::take) {
            let summary = self.summary(exchange.attempts, total);
            revision.log_queue.push(revision, exchange, summary);
        }
    }
}
