//! A request's place among those that are in flight.

use std::rc::Rc;

use super::connection::EndpointPool;

/// Counts a request at its endpoint until it is dropped, with the body of the response.
pub struct Permit(Rc<EndpointPool>);

impl Permit {
    /// For one request to that endpoint.
    pub fn new(pool: Rc<EndpointPool>) -> Self {
        pool.state.enter();
        Self(pool)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.leave();
    }
}
