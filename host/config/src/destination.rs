//! The validated destinations: where the requests of a route go.

use std::path::PathBuf;

use http::HeaderName;

use crate::balancing::HashKey;
use crate::field_edits::FieldText;

/// Where the requests of a route go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A key of [`crate::Config::upstreams`].
    Upstream(String),
    /// Several upstreams, by weight.
    Split(Split),
    /// None: the client is sent elsewhere.
    Redirect(Redirect),
    /// None: the gateway answers.
    Respond(FixedResponse),
}

/// Several upstreams that share the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// In the order of the file; at least one has a weight above 0.
    pub shares: Vec<Share>,
    /// What keeps a client at its upstream. `None`, or a request that lacks it: each request is a new choice.
    pub sticky: Option<HashKey>,
}

/// What one upstream gets of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// A key of [`crate::Config::upstreams`], once in a split.
    pub upstream: String,
    /// Its part of the sum of all weights: 0 to 1,000,000.
    pub weight: u32,
}

/// Another place for the client to go to. What it does not say is the request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302 (the default), 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// A host with or without a port.
    pub host: Option<String>,
    /// `None`: the request's path.
    pub path: Option<RedirectPath>,
    /// Whether the request's query goes along. Default yes.
    pub keep_query: bool,
}

/// How the path of a redirect differs from the request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    /// In place of the whole path.
    Whole(String),
    /// In place of the match's `path_prefix`.
    Prefix(String),
}

/// A response that is always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599, default 200.
    pub status: u16,
    /// Sorted by name and each name once.
    pub headers: Vec<(HeaderName, FieldText)>,
    /// `None`: an empty one.
    pub body: Option<FixedBody>,
}

/// Where the body of a fixed response comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedBody {
    /// The config.
    Text(String),
    /// This file, read with the config.
    File(PathBuf),
}
