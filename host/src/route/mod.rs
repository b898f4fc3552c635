//! Which route serves a request: the most specific one that matches.
//!
//! Routes are ordered once, when a snapshot is built; finding is taking the first that matches, by way
//! of a table of hosts and paths.

mod bare;
pub mod condition;
pub mod destination;
pub mod field_edits;
pub mod fixed_response;
pub mod matcher;
pub mod redirect;
pub mod rewrite;
pub mod route_key;
pub mod split;
pub mod table;

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{PathNormalisation, Upgrades};

use self::destination::Destination;
use self::field_edits::FieldEdits;
use self::matcher::Matcher;
pub use self::rewrite::Rewrite;
pub use self::table::RouteTable;
use crate::client_body::BodyBounds;
use crate::exchange::RequestHead;
use crate::policy::PolicyUse;
use crate::upstream::mirror::Mirror;

/// From matched requests to their destination, through a chain of policies.
pub struct Route {
    /// The config's name, in metrics and logs.
    pub name: Arc<str>,
    /// Its place among the snapshot's routes.
    pub index: usize,
    /// Which requests are its own.
    pub matcher: Matcher,
    /// How a path that a policy sets is spelled.
    pub paths: PathNormalisation,
    /// What is done to the path on the way to the upstream.
    pub rewrite: Rewrite,
    /// Where they go.
    pub destination: Destination,
    /// Who gets copies of its requests.
    pub mirror: Option<Mirror>,
    /// What is changed of the request's fields on the way to the upstream.
    pub request_edits: Option<FieldEdits>,
    /// What is changed of the response's fields on the way to the client.
    pub response_edits: Option<FieldEdits>,
    /// Time for the whole exchange until the response's head.
    pub deadline: Duration,
    /// What a request's body may take.
    pub body: BodyBounds,
    /// Time for the whole exchange, bodies included.
    pub duration: Option<Duration>,
    /// Attempts that policies may ask for, the first included.
    pub max_attempts: u32,
    /// Whether a POST that may have been processed may be sent again.
    pub retry_non_idempotent: bool,
    /// The longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    /// Bytes of a request's body that are kept so that it can be sent again.
    pub replay_buffer: usize,
    /// Protocols that a connection may switch to.
    pub upgrades: Upgrades,
    /// The policies, in the order of the request's way.
    pub chain: Vec<PolicyUse>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("matcher", &self.matcher)
            .finish_non_exhaustive()
    }
}

/// The most specific route that matches.
pub fn find<'a>(
    table: &RouteTable,
    routes: &'a [Arc<Route>],
    head: &RequestHead,
) -> Option<&'a Arc<Route>> {
    let key = head.route_key();
    let place = table.find(key, |place| routes[place].matcher.conditions.hold(key))?;
    routes.get(place)
}
