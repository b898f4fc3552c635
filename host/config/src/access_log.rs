//! The validated access log.

use std::collections::BTreeSet;
use std::path::PathBuf;

use http::HeaderName;

/// Where each request leaves a line of JSON, and what the line may tell.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Where the lines go.
    pub target: LogTarget,
    /// Share of the requests that are logged: 0 to 1, default 1.
    pub sample: f64,
    /// Fields of the request's head to log, in this order. Default none.
    pub headers: Vec<HeaderName>,
    /// Names, in lower case, of query parameters and header fields whose values are not shown: those of
    /// the config and [`AccessLog::ALWAYS_REDACTED`].
    pub redact: BTreeSet<String>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error, among the lines of the gateway's own log.
    Stderr,
    /// A file, to whose end they are added; a relative path has been joined to the config's directory.
    File(PathBuf),
}

impl AccessLog {
    /// Of [`AccessLog::sample`].
    pub const DEFAULT_SAMPLE: f64 = 1.0;

    /// Whatever the config says: names under which credentials travel.
    pub const ALWAYS_REDACTED: [&str; 27] = [
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth",
        "authorization",
        "client_secret",
        "code",
        "cookie",
        "credential",
        "id_token",
        "jwt",
        "key",
        "passwd",
        "password",
        "proxy-authorization",
        "pwd",
        "refresh_token",
        "secret",
        "session",
        "sig",
        "signature",
        "token",
        "x-amz-credential",
        "x-amz-signature",
        "x-api-key",
        "x-auth-token",
    ];
}
