//! The peer of a client's connection.

use std::net::SocketAddr;
use std::rc::Rc;

use http::header::HeaderValue;

use crate::listener::pulse::Pulse;

/// The peer of a connection, in the forms that requests need.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// The same for `x-forwarded-for`.
    pub forwarded_for: HeaderValue,
    /// `https` when the connection is TLS, else `http`.
    pub scheme: &'static str,
    /// What its connection is doing.
    pub pulse: Rc<Pulse>,
}

impl Client {
    /// The peer at that address, which speaks `scheme`.
    pub fn new(address: SocketAddr, scheme: &'static str) -> Self {
        let ip = address.ip().to_canonical().to_string();
        // An address in text is a valid field value.
        let forwarded_for =
            HeaderValue::try_from(ip).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address,
            forwarded_for,
            scheme,
            pulse: Rc::default(),
        }
    }
}
