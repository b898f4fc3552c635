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
            "endpoints[0].url: an endpoint has no path: expected http://host:port or https://host:port, and set the path with the route's rewrite",
        ),
        (
            "endpoints: ['http://a:1', { url: 'http://A:1/', weight: 2 }]",
            "endpoints[1]: the same endpoint as upstreams.u.endpoints[0]",
        ),
        (
            "endpoints: [5]",
            "endpoints[0]: expected a text or a mapping, found the number 5: quote it",
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

#[test]
fn what_is_left_out_watches_nobody_and_protects_everybody() {
    let upstream = upstream(ONE);
    assert_eq!(upstream.panic_threshold, 50);
    assert_eq!(upstream.health_check, None);
    assert_eq!(upstream.outlier_detection, None);
    let circuit = Circuit {
        max_connections: 4_096,
        max_pending: 1_024,
        max_requests: 8_192,
    };
    assert_eq!(upstream.circuit, circuit);
    let budget = RetryBudget {
        ratio_millis: 200,
        min_retries_per_second: 10,
    };
    assert_eq!(upstream.retry_budget, budget);
}

#[test]
fn health_checks_are_read() {
    let read = |check: &str| {
        let upstream = upstream(&format!("{ONE}, health_check: {check}"));
        upstream.health_check.unwrap()
    };
    let default = HealthCheck {
        probe: Probe::Http {
            path: "/".to_owned(),
            expect: vec![200..=299],
        },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        healthy_after: 2,
        unhealthy_after: 3,
        host: None,
    };
    assert_eq!(read("{}"), default);
    let http = read("{ path: '/h?x=1', expect: [200, '204', 300-399], host: Probe.test:80 }");
    let expected = HealthCheck {
        probe: Probe::Http {
            path: "/h?x=1".to_owned(),
            expect: vec![200..=200, 204..=204, 300..=399],
        },
        host: Some("probe.test:80".to_owned()),
        ..default
    };
    assert_eq!(http, expected);
    let service = |service: &str| Probe::Grpc {
        service: service.to_owned(),
    };
    assert_eq!(read("{ type: grpc, service: a.B }").probe, service("a.B"));
    assert_eq!(read("{ type: grpc }").probe, service(""));
    assert_eq!(read("{ type: tcp }").probe, Probe::Tcp);
}

#[test]
fn outlier_detection_is_read() {
    let read = |detection: &str| {
        let upstream = upstream(&format!("{ONE}, outlier_detection: {detection}"));
        upstream.outlier_detection.unwrap()
    };
    assert_eq!(read("{}"), OutlierDetection::default());
    let rate = read("{ success_rate: { minimum: 90 }, max_ejected_percent: 10 }");
    let expected = OutlierDetection {
        success_rate: Some(SuccessRate {
            minimum: 90,
            interval: Duration::from_secs(10),
            min_requests: 100,
        }),
        max_ejected_percent: 10,
        ..OutlierDetection::default()
    };
    assert_eq!(rate, expected);
}

#[test]
fn name_servers_are_addresses() {
    let text = config(ONE) + "dns: { servers: ['127.0.0.1:5353', '[::1]:53'] }\n";
    let servers = parse(&text).unwrap().dns.servers;
    assert_eq!(
        servers,
        ["127.0.0.1:5353", "[::1]:53"].map(|text| text.parse().unwrap())
    );
    let text = config(ONE) + "dns: { servers: [localhost:53] }\n";
    assert_eq!(
        problems(&text),
        [
            "5: dns.servers[0]: expected an IP address, not a host name: write 127.0.0.1 for this machine, 0.0.0.0 for all interfaces"
        ]
    );
}
