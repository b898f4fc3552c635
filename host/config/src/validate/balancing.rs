//! Load balancing: endpoints with their weights, and what chooses among them.

use std::collections::BTreeMap;

use http::HeaderName;

use super::{Checks, all};
use crate::address::{self, Scheme};
use crate::balancing::{HashKey, LoadBalancing, WeightedEndpoint};
use crate::file::{EndpointFile, HashFile, LoadBalancingFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::upstream::Endpoint;

pub(super) fn endpoints(
    path: &str,
    part: Part<Vec<Part<EndpointFile>>>,
    checks: &mut Checks,
) -> Option<(Scheme, Vec<WeightedEndpoint>)> {
    let parts = checks.read(path, part)?;
    let mut first: BTreeMap<Endpoint, String> = BTreeMap::new();
    let mut common = None;
    let endpoints = parts.into_iter().enumerate().map(|(index, part)| {
        let path = join_index(path, index);
        let (scheme, weighted) = endpoint(&path, part, checks)?;
        if *common.get_or_insert(scheme) != scheme {
            let message =
                "http:// beside https://: all endpoints of an upstream are spoken to alike";
            checks.add(path, message);
            return None;
        }
        if let Some(other) = first.get(&weighted.endpoint) {
            checks.add(path, format!("the same endpoint as {other}"));
            return None;
        }
        first.insert(weighted.endpoint.clone(), path);
        Some(weighted)
    });
    let endpoints = all(endpoints)?;
    Some((common.unwrap_or(Scheme::Http), endpoints))
}

fn endpoint(
    path: &str,
    part: Part<EndpointFile>,
    checks: &mut Checks,
) -> Option<(Scheme, WeightedEndpoint)> {
    let (endpoint, weight) = match checks.read(path, part)? {
        EndpointFile::Url(url) => (checks.accept(path, address::endpoint(&url)), Some(1)),
        EndpointFile::Weighted { url, weight } => (
            checks.text(&join_key(path, "url"), url, address::endpoint),
            checks.read(&join_key(path, "weight"), weight),
        ),
    };
    let (scheme, endpoint) = endpoint?;
    let weight = weight?;
    Some((scheme, WeightedEndpoint { endpoint, weight }))
}

pub(super) fn load_balancing(
    path: &str,
    part: Part<LoadBalancingFile>,
    checks: &mut Checks,
) -> Option<LoadBalancing> {
    match checks.read(path, part)? {
        LoadBalancingFile::Word(word) => match word.as_str() {
            "round_robin" => Some(LoadBalancing::RoundRobin),
            "least_request" => Some(LoadBalancing::LeastRequest),
            // The schema check has said what it may be.
            _ => None,
        },
        LoadBalancingFile::Hash { hash } => {
            hash_key(&join_key(path, "hash"), hash, checks).map(LoadBalancing::Hash)
        }
    }
}

pub(super) fn hash_key(path: &str, part: Part<HashFile>, checks: &mut Checks) -> Option<HashKey> {
    const SHAPE: &str = "write client_address, { header: name } or { cookie: name }";
    let key = match checks.read(path, part)? {
        HashFile::Word(word) => {
            return (word == "client_address").then_some(HashKey::ClientAddress);
        }
        HashFile::Named {
            header: Some(name),
            cookie: None,
        } => header(&name).map(HashKey::Header),
        HashFile::Named {
            header: None,
            cookie: Some(name),
        } => cookie(name).map(HashKey::Cookie),
        HashFile::Named { .. } => Err(format!("expected one key: {SHAPE}")),
    };
    checks.accept(path, key)
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| "not the name of a header field".to_owned())
}

/// RFC 6265 §4.1.1: a token, as a field's name is, but with its case.
fn cookie(name: String) -> Result<String, String> {
    match HeaderName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Err("not the name of a cookie".to_owned()),
    }
}
