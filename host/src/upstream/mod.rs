//! Named services and the ways to them: endpoints, connections, attempts.

pub mod attempt;
pub mod body;
pub mod connection;
pub mod dispatch;
pub mod replay_body;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Endpoint;

use self::connection::EndpointPool;
use crate::policy::verdict::EndpointChoice;
use crate::telemetry::metrics::AttemptCounters;

/// A named service of the config.
pub struct Upstream {
    /// The config's name.
    pub name: Arc<str>,
    /// Where it can be reached; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Time to get a connection.
    pub connect_timeout: Duration,
    /// Time from the start of an attempt to the response's head.
    pub attempt_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// Idle connections that a worker keeps for each endpoint.
    pub max_idle_connections: usize,
    /// Attempts that were answered.
    pub answered: AttemptCounters,
}

/// One worker's connections to an upstream.
pub struct UpstreamPools {
    endpoints: Vec<Rc<EndpointPool>>,
    next: Cell<usize>,
}

impl UpstreamPools {
    /// Pools of the upstream's endpoints, in its order. Workers start at different endpoints.
    pub fn new(endpoints: Vec<Rc<EndpointPool>>, worker: usize) -> Self {
        Self {
            endpoints,
            next: Cell::new(worker),
        }
    }

    /// Picks by turns, as far as `choice` allows. `None` when there is no endpoint.
    pub fn pick(
        &self,
        choice: EndpointChoice,
        last: Option<usize>,
    ) -> Option<(usize, &Rc<EndpointPool>)> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let turn = self.next.get();
        let index = match (choice, last) {
            (EndpointChoice::Same, Some(last)) => last,
            (EndpointChoice::Other, Some(last)) if count > 1 && turn % count == last => {
                self.next.set(turn.wrapping_add(2));
                (turn + 1) % count
            }
            _ => {
                self.next.set(turn.wrapping_add(1));
                turn % count
            }
        };
        self.endpoints.get(index).map(|pool| (index, pool))
    }
}
