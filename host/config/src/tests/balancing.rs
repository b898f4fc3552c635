//! Upstreams: how endpoints are chosen, watched and spared.

use std::time::Duration;

use http::HeaderName;

use super::{parse, problems};
use crate::*;

/// A config whose one upstream has these keys.
fn config(upstream: &str) -> String {
    format!(
        "listeners: [{{ name: a, address: '127.0.0.1:80' }}]\nroutes: []\nupstreams:\n  u: {{ {upstream} }}\n"
    )
}

fn upstream(keys: &str) -> Upstream {
    parse(&config(keys)).unwrap().upstreams.remove("u").unwrap()
}

const ONE: &str = "endpoints: ['http://a:1']";

#[test]
fn endpoints_have_weights() {
    let upstream = upstream(
        "endpoints: ['http://a:1', { url: 'http://b:2' }, { url: 'http://c:3', weight: 100 }]",
    );
    let weights = upstream
        .endpoints
        .iter()
        .map(|weighted| (weighted.endpoint.authority(), weighted.weight));
    let expected = [("a:1", 1), ("b:2", 1), ("c:3", 100)];
    assert!(weights.eq(expected.map(|(authority, weight)| (authority.to_owned(), weight))));
}

#[test]
fn each_way_of_balancing_is_read() {
    let header = HashKey::Header(HeaderName::from_static("x-user"));
    for (written, read) in [
        ("round_robin", LoadBalancing::RoundRobin),
        ("least_request", LoadBalancing::LeastRequest),
        (
            "{ hash: client_address }",
            LoadBalancing::Hash(HashKey::ClientAddress),
        ),
        ("{ hash: { header: X-User } }", LoadBalancing::Hash(header)),
        (
            "{ hash: { cookie: Sid } }",
            LoadBalancing::Hash(HashKey::Cookie("Sid".to_owned())),
        ),
    ] {
        let upstream = upstream(&format!("{ONE}, load_balancing: {written}"));
        assert_eq!(upstream.load_balancing, read, "{written}");
    }
}

#[test]
fn durations_are_read() {
    let upstream = upstream(&format!("{ONE}, warm_up: 30s"));
    assert_eq!(upstream.warm_up, Duration::from_secs(30));
}

#[test]
fn each_slip_is_one_problem() {
    for (keys, problem) in [
        (
            "endpoints: [{ url: 'http://a:1', weight: 0 }]",
            "endpoints[0].weight: must be 1 to 100, found 0",
        ),
        (
            "endpoints: [{ url: 'http://a:1', wieght: 2 }]",
            "endpoints[0].wieght: unknown key; did you mean \"weight\"? known: url, weight",
        ),
        (
            "endpoints: [{ weight: 2 }]",
            "endpoints[0]: missing key \"url\"",
        ),
        (
            "endpoints: [{ url: 'http://a:1/x' }]",
            "endpoints[0].url: an endpoint has no path: expected http://host:port, and set the path with the route's rewrite",
        ),
        (
            "endpoints: ['http://a:1', { url: 'http://A:1/', weight: 2 }]",
            "endpoints[1]: the same endpoint as upstreams.u.endpoints[0]",
        ),
        (
            "endpoints: [5]",
            "endpoints[0]: expected a text or a mapping, found the number 5",
        ),
        ("endpoints: []", "endpoints: must have at least one item"),
        (
            "load_balancing: random",
            "load_balancing: expected a text or a mapping such as round_robin, least_request or { hash: client_address }, found \"random\"",
        ),
        (
            "load_balancing: { hash: user }",
            "load_balancing.hash: expected a text or a mapping such as client_address, { header: name } or { cookie: name }, found \"user\"",
        ),
        (
            "load_balancing: { hash: {} }",
            "load_balancing.hash: expected one key: write client_address, { header: name } or { cookie: name }",
        ),
        (
            "load_balancing: { hash: { header: a, cookie: b } }",
            "load_balancing.hash: expected one key: write client_address, { header: name } or { cookie: name }",
        ),
        (
            "load_balancing: { hash: { header: 'a b' } }",
            "load_balancing.hash: not the name of a header field",
        ),
        (
            "load_balancing: { hash: { cookie: 'a=b' } }",
            "load_balancing.hash: not the name of a cookie",
        ),
        ("warm_up: 2h", "warm_up: must be 0s to 1h, found 2h"),
    ] {
        let keys = if keys.contains("endpoints") {
            keys.to_owned()
        } else {
            format!("{ONE}, {keys}")
        };
        assert_eq!(
            problems(&config(&keys)),
            [format!("4: upstreams.u.{problem}")],
            "{keys}"
        );
    }
}
