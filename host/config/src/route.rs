//! The validated routes: which requests, where they go, and which policies see them.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::RouteLimits;
use crate::condition::Condition;
use crate::destination::Destination;
use crate::field_edits::FieldEdits;
use crate::mirror::Mirror;

/// Requests of one kind, their upstream and their policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique among the routes; labels metrics and logs.
    pub name: String,
    /// Which requests it takes.
    pub matches: Match,
    /// What becomes of the path on the way to the upstream.
    pub rewrite: Rewrite,
    /// Where its requests go.
    pub destination: Destination,
    /// Who gets copies of its requests, as they go to the upstream.
    pub mirror: Option<Mirror>,
    /// What it changes of the request's head, after the policies.
    pub request_headers: FieldEdits,
    /// What it changes of the response's head, after the policies, whoever made the response.
    pub response_headers: FieldEdits,
    /// The whole request, retries included: 1 ms to 1 hour, default 15 s.
    pub deadline: Duration,
    /// What is different on this route of what clients may take.
    pub limits: RouteLimits,
    /// Attempts that a policy may ask for, the first included: 1 to 20, default 5.
    pub max_attempts: u32,
    /// Whether a request whose method is not idempotent may be sent again. Default no.
    pub retry_non_idempotent: bool,
    /// The longest `Retry-After` that is waited for; a response that asks for more is delivered: 0 to 1
    /// hour, default 30 s.
    pub max_retry_after: Duration,
    /// Bytes of a request's body that are kept so that it can be sent again; a longer one is sent once:
    /// 0 to 16 MiB, default 64 KiB.
    pub replay_buffer: usize,
    /// Protocols that a connection may switch to. Default `websocket` alone.
    pub upgrades: Upgrades,
    /// The chain: asked first to last on the request, last to first on the response.
    pub policies: Vec<PolicyUse>,
}

impl Route {
    /// Of [`Route::deadline`].
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(15);
    /// Of [`Route::max_attempts`].
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 5;
    /// Of [`Route::max_retry_after`].
    pub const DEFAULT_MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
    /// Of [`Route::replay_buffer`]: as much as nginx and Envoy keep of a small request.
    pub const DEFAULT_REPLAY_BUFFER: u64 = 64 << 10;
}

/// Protocols that a connection may switch to at a request's `Upgrade` (RFC 9110 §7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrades {
    /// `*`: whatever the service agrees to.
    Any,
    /// These, in lower case, sorted and each once. Empty: none.
    Only(Vec<String>),
}

impl Default for Upgrades {
    fn default() -> Self {
        Self::Only(vec!["websocket".to_owned()])
    }
}

impl Upgrades {
    /// Whether a switch to `protocol` (`name` or `name/version`) may be asked for. ASCII case makes no
    /// difference.
    pub fn allow(&self, protocol: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|name| name.eq_ignore_ascii_case(protocol)),
        }
    }
}

/// What a request must have for a route to take it: all of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// `None`: any host.
    pub host: Option<HostPattern>,
    /// Whole segments at the start of the path: `/api` takes `/api`, `/api/` and `/api/x`, but not
    /// `/apix`; `/` takes every path. Starts with `/`; never ends with `/` unless it is `/`.
    pub path_prefix: String,
    /// Exactly this path; then the prefix is `/`.
    pub path: Option<String>,
    /// One of these, sorted and each once. Empty: any method.
    pub methods: Vec<Method>,
    /// Conditions on these fields, sorted by name and each name once.
    pub headers: Vec<(HeaderName, Condition)>,
    /// Conditions on these cookies, sorted by name and each name once. Case makes a difference.
    pub cookies: Vec<(String, Condition)>,
    /// Conditions on these parameters of the query, decoded once, sorted by name and each name once.
    pub query: Vec<(String, Condition)>,
}

impl Match {
    /// Whether `path` is [`Match::path`], or starts with the segments of [`Match::path_prefix`].
    pub fn matches_path(&self, path: &str) -> bool {
        match &self.path {
            Some(exact) => path == exact,
            None => has_segments(path, &self.path_prefix),
        }
    }
}

/// Whether `path` starts with the segments of `prefix`, which does not end with `/` unless it is `/`.
pub(crate) fn has_segments(path: &str, prefix: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Hosts that a route takes. In lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host: a DNS name, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: one or more labels before it, so not `example.com` itself.
    Wildcard(String),
}

impl HostPattern {
    /// Whether `host`, which has no port, is meant. ASCII case makes no difference.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => host.eq_ignore_ascii_case(exact),
            Self::Wildcard(suffix) => {
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len()
                    && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        }
    }
}

/// As the config writes it: `api.example.com`, `*.example.com`.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// What becomes of the path on the way to the upstream: first strip, then add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Whole segments that are taken off the start. A prefix of the route's [`Match::path_prefix`], so
    /// that every path of the route has it. What is left is `/` at least. Never `/` itself.
    pub strip_prefix: Option<String>,
    /// Whole segments that are put before it. Never `/` itself.
    pub add_prefix: Option<String>,
    /// In place of the whole path; then there are no prefixes.
    pub path: Option<String>,
    /// The Host field that the upstream gets. `None`: the client's.
    pub host: Option<String>,
}

/// One policy in the chain of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyUse {
    /// A key of [`crate::Config::policies`].
    pub policy: String,
    /// What becomes of a request when the policy fails.
    pub on_failure: OnFailure,
    /// For the policy to read: any JSON, default `{}`.
    pub config: Value,
}

/// What becomes of a request when a policy fails on it (trap, error, deadline, memory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It is answered with an error.
    Closed,
    /// It goes on as if the policy were not there.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prefix_is_made_of_whole_segments() {
        let table = [
            ("/", "/", true),
            ("/x", "/", true),
            ("/api", "/api", true),
            ("/api/", "/api", true),
            ("/api/x", "/api", true),
            ("/apix", "/api", false),
            ("/", "/api", false),
            ("/API", "/api", false),
        ];
        for (path, prefix, expected) in table {
            assert_eq!(has_segments(path, prefix), expected, "{path} {prefix}");
        }
    }

    #[test]
    fn a_wildcard_takes_one_or_more_labels() {
        let exact = HostPattern::Exact("api.example.com".to_owned());
        assert!(exact.matches("API.example.com"));
        assert!(!exact.matches("a.api.example.com"));
        let wildcard = HostPattern::Wildcard(".example.com".to_owned());
        for (host, expected) in [
            ("a.example.com", true),
            ("a.b.EXAMPLE.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
            ("é.example.com", true),
        ] {
            assert_eq!(wildcard.matches(host), expected, "{host}");
        }
    }
}
