//! What is wrong with a config, all of it at once.

use super::slips::SLIPS;
use super::{SAMPLE, problems, sample_with};

#[test]
fn each_slip_is_one_problem_with_its_line_and_path() {
    for (from, to, problem) in SLIPS {
        assert_eq!(problems(&sample_with(from, to)), [*problem], "{to}");
    }
}

#[test]
fn names_in_a_list_are_unique() {
    let listeners = sample_with(
        "0.0.0.0:8080 }",
        "0.0.0.0:8080 }\n  - { name: http, address: 0.0.0.0:8080 }",
    );
    assert_eq!(
        problems(&listeners),
        [
            "3: listeners[1].address: the same address as listeners[0].address",
            "3: listeners[1].name: listeners[0] has the same name \"http\"",
        ]
    );
    let routes = SAMPLE.to_owned() + "  - { name: service1, upstream: mock-service }\n";
    assert_eq!(
        problems(&routes),
        ["32: routes[1].name: routes[0] has the same name \"service1\""]
    );
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = "
listeners:
  - { address: nowhere }
workers: 0
redis: []
upstreams:
  api: { endpoints: [ftp://h], timeouts: { connect: 1, attempt: 0s } }
policies:
  p: { component: x.wasm, grants: { redis: { binding: any } }, stub: [redis] }
routes:
  - { name: a, upstream: apj, match: { host: 'a:1', path_prefix: x }, policies: [{ use: q }] }
  - { name: a, name: b }
";
    assert_eq!(
        problems(text),
        [
            "3: listeners[0]: missing key \"name\"",
            "3: listeners[0].address: expected an IP address and a port such as 0.0.0.0:8080",
            "4: workers: must be 1 to 256, found 0",
            "5: redis: expected a mapping, found a list",
            "7: upstreams.api.endpoints[0]: no such scheme: expected http://host:port or https://host:port",
            "7: upstreams.api.timeouts.attempt: must be 1ms to 1h, found 0s",
            "7: upstreams.api.timeouts.connect: expected a duration such as 250ms, 5s or 1m, found the number 1",
            "9: policies.p.component: write file:x.wasm",
            "9: policies.p.grants.redis: missing key \"prefix\"",
            "9: policies.p.stub[0]: redis is granted as well: remove the grant or the stub",
            "11: routes[0].match.host: a host is matched without its port: write a",
            "11: routes[0].match.path_prefix: must start with /",
            "11: routes[0].policies[0]: missing key \"on_failure\": one of closed, open",
            "11: routes[0].policies[0].use: unknown policy \"q\"; known: p",
            "11: routes[0].upstream: unknown upstream \"apj\"; did you mean \"api\"? known: api",
            "12: routes[1].name: duplicate key: it is already set on line 12",
            "12: routes[1].name: routes[0] has the same name \"a\"",
            "12: routes[1].upstream: is missing: a route needs this, split, redirect or respond",
        ]
    );
}

#[test]
fn an_empty_mapping_lacks_the_required_keys() {
    assert_eq!(
        problems("{}"),
        ["1: missing key \"listeners\"", "1: missing key \"routes\""]
    );
}

#[test]
fn no_problem_shows_a_password() {
    for url in [
        "redis://:hunter2@h:x",
        "redis://:hunter2@h/db",
        "hunter2",
        "redis://:hunter2#@h",
        "redis://:hunter2@${HOST}",
        "[hunter2]",
        "{ files: hunter2 }",
        "!secret hunter2",
    ] {
        for (from, to) in [
            ("redis://127.0.0.1:6379", url.to_owned()),
            (
                "{ url: redis://127.0.0.1:6379, deadline: 7ms }",
                format!("'{url}'"),
            ),
        ] {
            let text = sample_with(from, &to);
            let problems = problems(&text).join("\n");
            assert!(!problems.contains("hunter2"), "{url}: {problems}");
        }
    }
}
