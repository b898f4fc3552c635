//! HTTP calls to upstreams that the operator granted by name. Needs the grant `outcall`.
//!
//! A call is built from its method and path, and sent to an upstream:
//!
//! ```
//! use portcullis_sdk::{Exchange, LocalResponse, RequestVerdict, outcall};
//!
//! /// Asks the service `auth` whether the request may pass.
//! fn ask(exchange: &Exchange) -> Result<RequestVerdict, String> {
//!     let token = exchange.header("authorization").unwrap_or_default();
//!     let answer = outcall::get("/check")
//!         .header("authorization", token)
//!         .timeout_ms(200)
//!         .send("auth")?;
//!     Ok(match answer.status {
//!         200 => RequestVerdict::Next,
//!         _ => RequestVerdict::Respond(LocalResponse::problem(403, "not allowed")),
//!     })
//! }
//! ```
//!
//! The time of a call counts against the hook's (`limits.time`, 50 ms unless the operator says otherwise); a
//! hook whose time is over is ended, so a policy that wants to go on without the answer sets a shorter
//! [`Call::timeout_ms`].

use crate::bindings::capability::outcall;
use serde::de::DeserializeOwned;

pub use outcall::{Error, Response};

/// A request to be sent.
#[derive(Clone, Debug)]
#[must_use = "a call is made when it is sent"]
pub struct Call {
    method: String,
    path_with_query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout_ms: u32,
}

/// `GET` of a path with or without a query.
pub fn get(path_with_query: impl Into<String>) -> Call {
    Call::new("GET", path_with_query)
}

/// `POST` of this body to a path with or without a query.
pub fn post(path_with_query: impl Into<String>, body: impl Into<Vec<u8>>) -> Call {
    Call::new("POST", path_with_query).body(body)
}

impl Call {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, path_with_query: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path_with_query: path_with_query.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    /// With one more header. `host`, the length and what concerns the connection are the gateway's.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// How long to wait for the whole answer, if shorter than the hook's time and the upstream's
    /// `timeouts.attempt`.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// Sends it to that upstream and waits for the whole answer. Redirects are answers like others.
    ///
    /// # Errors
    ///
    /// `denied` for an upstream that is not granted and for a call too many (`limits.outcalls`), `too-large`
    /// for a body beyond `limits.outcall_body`, `timed-out`, `unavailable` with the name of the failure, such
    /// as `connect-refused` or `overloaded`, `other` for a request that can't be sent.
    pub fn send(&self, upstream: &str) -> Result<Response, Error> {
        let request = outcall::Request {
            method: &self.method,
            path_with_query: &self.path_with_query,
            headers: &self.headers,
            body: &self.body,
            timeout_ms: self.timeout_ms,
        };
        outcall::send(upstream, request)
    }
}

impl Response {
    /// The first value of header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// Where and why the body is not what `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("the answer's body: {error}"))
    }
}

impl Error {
    /// Whether the policy may not call that upstream, so that asking again is in vain.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(why) => format!("outcall: denied: {why}"),
            Error::Unavailable(why) => format!("outcall: unavailable: {why}"),
            Error::TimedOut => "outcall: timed out".to_owned(),
            Error::TooLarge => "outcall: too large".to_owned(),
            Error::Other(why) => format!("outcall: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_names_and_as_json() {
        let answer = Response {
            status: 200,
            headers: vec![
                ("x-user".to_owned(), b"7".to_vec()),
                ("x-user".to_owned(), b"8".to_vec()),
            ],
            body: br#"{"allowed":true}"#.to_vec(),
        };
        assert_eq!(answer.header("X-User"), Some(&b"7"[..]));
        assert_eq!(answer.header("x-other"), None);
        let read: serde_json::Value = answer.json().unwrap_or_default();
        assert_eq!(read["allowed"], true);
        assert!(answer.json::<bool>().is_err());
    }
}
