//! The routes of a snapshot by host and path, so that of many routes few are looked at.
//!
//! Specificity is compared host first, then path. So the groups of a host are asked from the exact one
//! to the one for any host, and in each the exact path before the prefixes, the longest first: what
//! matches first is the most specific. Each step looks a text up; how many steps there are depends on
//! the config and not on the request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_config::HostPattern;

use super::matcher::{self, Matcher, PathPattern};
use super::route_key::RouteKey;

/// Places of routes by host and path.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact_hosts: BTreeMap<String, HostGroup>,
    wildcards: Lengths,
    /// By the suffix, with its dot.
    wildcard_hosts: BTreeMap<String, HostGroup>,
    any_host: HostGroup,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct HostGroup {
    exact_paths: BTreeMap<String, Vec<usize>>,
    lengths: Lengths,
    prefixes: BTreeMap<String, Vec<usize>>,
}

/// The lengths in bytes that occur, the largest first.
type Lengths = Vec<usize>;

impl RouteTable {
    /// Of routes that are ordered most specific first.
    pub fn new<'a>(matchers: impl IntoIterator<Item = &'a Matcher>) -> Self {
        let mut table = Self::default();
        for (place, matcher) in matchers.into_iter().enumerate() {
            let group = match &matcher.host {
                Some(HostPattern::Exact(host)) => {
                    table.exact_hosts.entry(host.clone()).or_default()
                }
                Some(HostPattern::Wildcard(suffix)) => {
                    insert_length(&mut table.wildcards, suffix.len());
                    table.wildcard_hosts.entry(suffix.clone()).or_default()
                }
                None => &mut table.any_host,
            };
            group.insert(&matcher.path, place);
        }
        table
    }

    /// The place of the most specific route whose other conditions `hold`.
    pub fn find(&self, key: RouteKey<'_>, hold: impl Fn(usize) -> bool) -> Option<usize> {
        let path = key.target.path();
        // Where no route names a host, none is looked at.
        if self.exact_hosts.is_empty() && self.wildcard_hosts.is_empty() {
            return self.any_host.find(path, &hold);
        }
        let host = matcher::host(key.headers).map(lower_case);
        let groups = host.iter().flat_map(|host| self.groups_of(host));
        let mut groups = groups.chain(std::iter::once(&self.any_host));
        groups.find_map(|group| group.find(path, &hold))
    }

    /// The most specific first; `host` is in lower case.
    fn groups_of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a HostGroup> {
        let wildcards = self.wildcards.iter().filter_map(|length| {
            // One byte before the suffix at least.
            let start = host.len().checked_sub(*length).filter(|start| *start > 0)?;
            self.wildcard_hosts.get(host.get(start..)?)
        });
        self.exact_hosts.get(host).into_iter().chain(wildcards)
    }
}

impl HostGroup {
    fn insert(&mut self, path: &PathPattern, place: usize) {
        let routes = match path {
            PathPattern::Exact(path) => self.exact_paths.entry(path.clone()).or_default(),
            PathPattern::Prefix(prefix) => {
                insert_length(&mut self.lengths, prefix.len());
                self.prefixes.entry(prefix.clone()).or_default()
            }
        };
        routes.push(place);
    }

    fn find(&self, path: &str, hold: &impl Fn(usize) -> bool) -> Option<usize> {
        let exact = self.exact_paths.get(path).into_iter();
        let prefixes = self.lengths.iter().filter_map(|length| {
            let ends_segment = matches!(path.as_bytes().get(*length), None | Some(b'/'));
            let prefix = path.get(..*length).filter(|_| ends_segment)?;
            self.prefixes.get(prefix)
        });
        let mut places = exact.chain(prefixes).flatten().copied();
        places.find(|place| hold(*place))
    }
}

fn insert_length(lengths: &mut Lengths, length: usize) {
    if let Err(place) = lengths.binary_search_by(|other| length.cmp(other)) {
        lengths.insert(place, length);
    }
}

fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

// The fuzz crate includes this file under another path.
#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
