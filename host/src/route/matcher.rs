//! What a route asks of a request, and which of two routes asks for more.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::HOST;
use portcullis_config::{HostPattern, Match};

use super::condition::Conditions;

/// All of it must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    /// `None`: any.
    pub host: Option<HostPattern>,
    /// Of the target, without the query.
    pub path: PathPattern,
    /// The rest.
    pub conditions: Conditions,
}

/// Which paths are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// Whole segments at the start; without a slash at the end, so empty for all paths.
    Prefix(String),
    /// This one.
    Exact(String),
}

impl Matcher {
    /// As the config has it.
    pub fn from_config(config: &Match) -> Self {
        Self {
            host: config.host.clone(),
            path: match &config.path {
                Some(path) => PathPattern::Exact(path.clone()),
                None => PathPattern::Prefix(config.path_prefix.trim_end_matches('/').to_owned()),
            },
            conditions: Conditions::from_config(config),
        }
    }

    /// Orders matchers, the most specific first: an exact host, then the longest wildcard, then
    /// any host; an exact path, then the longest prefix; a method; the most conditions on values.
    pub fn specificity(&self) -> impl Ord + use<> {
        let host = match &self.host {
            Some(HostPattern::Exact(_)) => (2, 0),
            Some(HostPattern::Wildcard(suffix)) => (1, suffix.len()),
            None => (0, 0),
        };
        let path = match &self.path {
            PathPattern::Exact(_) => (1, 0),
            PathPattern::Prefix(prefix) => (0, prefix.len()),
        };
        Reverse((host, path, self.conditions.specificity()))
    }
}

/// Whether `path` begins with the whole segments of `prefix` (which has no slash at its end).
pub fn has_path_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The request's host without its port; `None` where it has none, or one that is not ASCII.
pub fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            Some(name)
        }
        _ => Some(host),
    }
}
