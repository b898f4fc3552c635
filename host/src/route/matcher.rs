//! What a route asks of a request, and which of two routes asks for more.

use std::cmp::Reverse;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use portcullis_config::{HostPattern, Match};

use crate::exchange::RequestHead;

/// All conditions must hold; an empty list holds always.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    host: Option<HostPattern>,
    path_prefix: String,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Matcher {
    /// As the config has it.
    pub fn from_config(config: &Match) -> Self {
        Self {
            host: config.host.clone(),
            path_prefix: config.path_prefix.trim_end_matches('/').to_owned(),
            methods: config.methods.clone(),
            headers: config.headers.clone(),
        }
    }

    /// Whether the request is the route's.
    pub fn matches(&self, head: &RequestHead) -> bool {
        has_path_prefix(head.target.path(), &self.path_prefix)
            && (self.methods.is_empty() || self.methods.contains(&head.method))
            && self
                .host
                .as_ref()
                .is_none_or(|host| host_matches(host, &head.headers))
            && self.headers.iter().all(|(name, value)| {
                head.headers
                    .get_all(name)
                    .iter()
                    .any(|given| given == value)
            })
    }

    /// Orders matchers, the most specific first: an exact host, then the longest wildcard, then
    /// any host; the longest path; a method; the most headers.
    pub fn specificity(&self) -> impl Ord + use<> {
        let host = match &self.host {
            Some(HostPattern::Exact(_)) => (2, 0),
            Some(HostPattern::Wildcard(suffix)) => (1, suffix.len()),
            None => (0, 0),
        };
        Reverse((
            host,
            self.path_prefix.len(),
            !self.methods.is_empty(),
            self.headers.len(),
        ))
    }
}

/// Whether `path` begins with the whole segments of `prefix` (which has no slash at its end).
pub fn has_path_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn host_matches(pattern: &HostPattern, headers: &HeaderMap) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        return false;
    };
    pattern.matches(without_port(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            name
        }
        _ => host,
    }
}
