//! What clients may take, as the file says it.

use std::time::Duration;

use super::{SAMPLE, parse, problems, sample_with};
use crate::*;

#[test]
fn every_bound_can_be_set() {
    let text = format!(
        "limits: {{ head_bytes: 8KiB, headers: 50, uri_bytes: 2KiB, body: 1MiB, connections: 10, \
         connections_per_client: 5, requests: 7, h2_streams: 8, h2_resets: 9 }}\n\
         timeouts: {{ head: 1s, keep_alive: 2s, body_idle: 3s, write_idle: 4s, handshake: 5s }}\n{SAMPLE}"
    );
    let config = parse(&text).unwrap();
    let limits = ClientLimits {
        head_bytes: 8 << 10,
        headers: 50,
        uri_bytes: 2 << 10,
        body: 1 << 20,
        connections: 10,
        connections_per_client: 5,
        requests: 7,
        h2_streams: 8,
        h2_resets: 9,
    };
    assert_eq!(config.limits, limits);
    let [head, keep_alive, body_idle, write_idle, handshake] =
        [1, 2, 3, 4, 5].map(Duration::from_secs);
    let timeouts = ClientTimeouts {
        head,
        keep_alive,
        body_idle,
        write_idle,
        handshake,
    };
    assert_eq!(config.timeouts, timeouts);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(&format!("limits: {{ headers: 50 }}\n{SAMPLE}")).unwrap();
    let limits = ClientLimits {
        headers: 50,
        ..ClientLimits::default()
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.timeouts, ClientTimeouts::default());
    assert_eq!(config.routes[0].limits, RouteLimits::default());
}

#[test]
fn a_route_has_limits_of_its_own() {
    let text = sample_with(
        "    deadline: 10s",
        "    limits: { body: 0B, duration: 1h }\n    deadline: 10s",
    );
    let limits = RouteLimits {
        body: Some(0),
        duration: Some(Duration::from_hours(1)),
    };
    assert_eq!(parse(&text).unwrap().routes[0].limits, limits);
}

#[test]
fn a_bound_that_can_not_be_kept_is_a_problem_with_its_place() {
    let table = [
        (
            "limits: { head_bytes: 4KiB }",
            "limits.head_bytes: must be 8KiB to 1MiB, found 4KiB",
        ),
        (
            "limits: { uri_bytes: 65KiB }",
            "limits.uri_bytes: must be 256B to 64KiB, found 65KiB",
        ),
        (
            "limits: { headers: 0 }",
            "limits.headers: must be 1 to 1000, found 0",
        ),
        (
            "limits: { h2_streams: 0 }",
            "limits.h2_streams: must be 1 to 1000, found 0",
        ),
        (
            "limits: { body: 1 }",
            "limits.body: expected a size such as 64KiB, 16MiB or 1GiB, found the number 1",
        ),
        (
            "limits: { connections: -1 }",
            "limits.connections: must be 0 to 10000000, found -1",
        ),
        (
            "limits: { bodies: 1MiB }",
            "limits.bodies: unknown key; known: body, connections, connections_per_client, h2_resets, h2_streams, head_bytes, headers, requests, uri_bytes",
        ),
        (
            "timeouts: { head: 0s }",
            "timeouts.head: must be 1ms to 1h, found 0s",
        ),
        (
            "timeouts: { keep_alive: 2h }",
            "timeouts.keep_alive: must be 1ms to 1h, found 2h",
        ),
    ];
    for (line, problem) in table {
        let text = format!("{line}\n{SAMPLE}");
        assert_eq!(problems(&text), [format!("1: {problem}")], "{line}");
    }
    let text = sample_with(
        "    deadline: 10s",
        "    limits: { duration: 25h }\n    deadline: 10s",
    );
    let [problem] = &problems(&text)[..] else {
        panic!("one problem")
    };
    assert!(
        problem.ends_with("routes[0].limits.duration: must be 1ms to 24h, found 25h"),
        "{problem}"
    );
}
