//! A route of no config, for an exchange that a policy is tried or tested with.

use std::time::Duration;

use portcullis_config::{Match, PathNormalisation, Upgrades};

use super::destination::{Destination, Target};
use super::matcher::Matcher;
use super::{Rewrite, Route};
use crate::client_body::BodyBounds;

impl Route {
    /// A route that matches everything, goes to an upstream of its own name, and does nothing else.
    pub fn bare(name: &str, deadline: Duration) -> Self {
        Self {
            name: name.into(),
            index: 0,
            matcher: Matcher::from_config(&any()),
            paths: PathNormalisation::default(),
            rewrite: Rewrite::default(),
            destination: Destination::Upstream(Target {
                place: 0,
                name: name.into(),
            }),
            mirror: None,
            request_edits: None,
            response_edits: None,
            deadline,
            body: BodyBounds {
                size: u64::MAX,
                idle: deadline,
            },
            duration: None,
            max_attempts: 1,
            retry_non_idempotent: false,
            max_retry_after: Duration::ZERO,
            replay_buffer: 0,
            upgrades: Upgrades::default(),
            chain: Vec::new(),
        }
    }
}

fn any() -> Match {
    Match {
        host: None,
        path_prefix: "/".to_owned(),
        path: None,
        methods: Vec::new(),
        headers: Vec::new(),
        cookies: Vec::new(),
        query: Vec::new(),
    }
}
