//! What is measured of a request.

use std::rc::Rc;
use std::time::Instant;

use http::{Method, StatusCode};

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
}

impl Record {
    /// A request that has just arrived.
    pub fn new(revision: Rc<Revision>, method: Method) -> Self {
        let status = StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            revision,
            route: None,
            method,
            status,
            started: Instant::now(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let revision = &self.revision;
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
