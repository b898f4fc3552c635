//! Which route serves a request: the most specific one that matches.
//!
//! Routes are ordered once, when a snapshot is built; finding is taking the first that matches.

pub mod destination;
pub mod matcher;
pub mod split;

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use portcullis_config::PathNormalisation;

use self::destination::Destination;
use self::matcher::Matcher;
use crate::client_body::BodyBounds;
use crate::exchange::RequestHead;
use crate::policy::PolicyUse;

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

/// The first route that matches; `routes` are ordered most specific first.
pub fn find<'a>(routes: &'a [Arc<Route>], head: &RequestHead) -> Option<&'a Arc<Route>> {
    routes.iter().find(|route| route.matcher.matches(head))
}

/// How the path changes on the way to the upstream.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// Removed from the path's start.
    pub strip_prefix: Option<String>,
    /// Put before what is left.
    pub add_prefix: Option<String>,
}

impl Rewrite {
    /// The target for the upstream; `None` when it would be longer than 65,534 bytes. A path that
    /// policies have moved out of `strip_prefix` is left whole.
    pub fn apply(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        if self.strip_prefix.is_none() && self.add_prefix.is_none() {
            return Some(target.clone());
        }
        let strip = self
            .strip_prefix
            .as_deref()
            .unwrap_or("")
            .trim_end_matches('/');
        let path = target.path();
        let rest = if matcher::has_path_prefix(path, strip) {
            &path[strip.len()..]
        } else {
            path
        };
        let add = self
            .add_prefix
            .as_deref()
            .unwrap_or("")
            .trim_end_matches('/');
        let mut rewritten = String::with_capacity(add.len() + target.as_str().len() + 1);
        rewritten.push_str(add);
        if !rest.starts_with('/') {
            rewritten.push('/');
        }
        rewritten.push_str(rest);
        if let Some(query) = target.query() {
            rewritten.push('?');
            rewritten.push_str(query);
        }
        // Parts of a valid target joined at slashes are valid, unless too long.
        PathAndQuery::try_from(rewritten).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_grows_too_long_is_not_forwarded_without_its_prefix() {
        let rewrite = Rewrite {
            strip_prefix: None,
            add_prefix: Some("/internal/public".to_owned()),
        };
        let long = format!("/{}", "x".repeat(65_520));
        assert_eq!(rewrite.apply(&long.parse().unwrap()), None);
    }

    #[test]
    fn a_rewrite_changes_the_path_and_keeps_the_query() {
        let cases = [
            (Some("/api/s1"), None, "/api/s1/hello?a=1", "/hello?a=1"),
            (Some("/api/s1"), None, "/api/s1", "/"),
            (Some("/api/s1/"), None, "/api/s1?x", "/?x"),
            (Some("/api/s1"), None, "/api/s10/hello", "/api/s10/hello"),
            (Some("/"), None, "/hello", "/hello"),
            (Some("/api"), Some("/v2"), "/api/x", "/v2/x"),
            (None, Some("/v2/"), "/x?q", "/v2/x?q"),
            (None, None, "/x", "/x"),
        ];
        for (strip, add, from, to) in cases {
            let rewrite = Rewrite {
                strip_prefix: strip.map(str::to_owned),
                add_prefix: add.map(str::to_owned),
            };
            assert_eq!(
                rewrite.apply(&from.parse().unwrap()).unwrap().as_str(),
                to,
                "{strip:?} {add:?} {from}"
            );
        }
    }
}
