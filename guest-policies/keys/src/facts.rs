//! What there is to know of a request.

use portcullis_sdk::Exchange;

/// What keys and lists are made from; each answers the first value, if there is one.
pub trait Facts {
    /// A request header, by lower-case name.
    fn header(&self, name: &str) -> Option<String>;
    /// A cookie.
    fn cookie(&self, name: &str) -> Option<String>;
    /// A parameter of the query, decoded.
    fn query(&self, name: &str) -> Option<String>;
    /// A value that an earlier policy has shared. No client can set one.
    fn shared(&self, name: &str) -> Option<String>;
    /// A documented fact of the exchange.
    fn attribute(&self, name: &str) -> Option<String>;
}

impl Facts for Exchange {
    fn header(&self, name: &str) -> Option<String> {
        self.header(name)
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.cookie(name)
    }

    fn query(&self, name: &str) -> Option<String> {
        self.query(name)
    }

    fn shared(&self, name: &str) -> Option<String> {
        self.get_shared(name)
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.attribute(name)
    }
}
