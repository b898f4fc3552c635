//! What is measured of a request.

use std::rc::Rc;
use std::time::Instant;

use http::{Method, Request, StatusCode, Version};

use crate::client::Client;
use crate::client_body::BodyWatch;
use crate::error::GatewayError;
use crate::listener::pulse::Pulse;
use crate::worker::Revision;

/// What nginx notes for a client that went away before its answer; it is never sent.
const CLIENT_CLOSED: u16 = 499;

/// One request; recorded when nothing more happens to it, whatever the reason.
pub struct Record {
    revision: Rc<Revision>,
    /// Place of the route that was found.
    pub route: Option<usize>,
    method: Method,
    /// Of the response, once there is one.
    pub status: StatusCode,
    /// When the head had arrived.
    pub started: Instant,
    /// When its exchange must have ended, if at all.
    pub until: Option<Instant>,
    /// The request's body while it is on its way.
    pub body: BodyWatch,
    pulse: Rc<Pulse>,
    entered: bool,
}

impl Record {
    /// A request that has just arrived.
    pub fn new<B>(revision: Rc<Revision>, client: &Client, request: &Request<B>) -> Self {
        client.pulse.begin(request.version() == Version::HTTP_2);
        let status = StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            revision,
            route: None,
            method: request.method().clone(),
            status,
            started: Instant::now(),
            until: None,
            body: BodyWatch::default(),
            pulse: client.pulse.clone(),
            entered: false,
        }
    }

    /// The bound that the request's body has broken: then nothing else is to blame.
    pub fn body_error(&self) -> Option<GatewayError> {
        self.body.fault().map(Into::into)
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
        if self.entered {
            revision.permits.leave();
        }
        if let Some(fault) = self.body.fault() {
            revision.metrics.client.refused_request(fault.name());
        }
        let slots = self
            .route
            .and_then(|route| revision.slots.get(route))
            .unwrap_or(&revision.unrouted);
        slots.record(
            &revision.metrics,
            &self.method,
            self.status,
            self.started.elapsed(),
        );
    }
}
