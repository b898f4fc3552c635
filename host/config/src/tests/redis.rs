//! Redis bindings: each way to name servers, and what does not go together.

use std::path::PathBuf;
use std::time::Duration;

use super::{parse, problems, sample_with};
use crate::*;

const SAMPLE_BINDING: &str = "{ url: redis://127.0.0.1:6379, deadline: 7ms }";

fn with(binding: &str) -> String {
    sample_with(SAMPLE_BINDING, binding)
}

fn binding(text: &str) -> RedisBinding {
    parse(&with(text)).unwrap().redis["main"].clone()
}

fn node(host: &str, port: u16) -> Endpoint {
    Endpoint {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn a_sentinel_binding() {
    let binding = binding(
        "{ sentinel: { master: mymaster, nodes: [\"rediss://s1\", \"rediss://s2:1\"], username: s, password: spw },
           username: u, password: \"${REDIS_URL}\", database: 3,
           tls: { ca: ca.pem, client_certificate: { certificate: c.pem, key: k.pem } },
           deadline: 9ms, connect_timeout: 2s, circuit: { failures: 2, window: 1s, probe_every: 100ms } }",
    );
    let login = |username: &str, password: &str| RedisLogin {
        username: Some(username.to_owned()),
        password: Secret::new(password),
    };
    let expected = RedisBinding {
        servers: RedisServers::Sentinel {
            master: "mymaster".to_owned(),
            nodes: vec![node("s1", 26379), node("s2", 1)],
            login: Some(login("s", "spw")),
        },
        login: Some(login("u", "redis://:hunter2@redis:6379/1")),
        database: Some(3),
        tls: Some(RedisTls {
            ca: Some(PathBuf::from("/etc/gw/ca.pem")),
            client_certificate: Some(ClientCertificate {
                certificate: PathBuf::from("/etc/gw/c.pem"),
                key: PathBuf::from("/etc/gw/k.pem"),
            }),
        }),
        deadline: Duration::from_millis(9),
        connect_timeout: Duration::from_secs(2),
        circuit: RedisCircuit {
            failures: 2,
            window: Duration::from_secs(1),
            probe_every: Duration::from_millis(100),
        },
    };
    assert_eq!(binding, expected);
    let printed = format!("{binding:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("spw"));
}

#[test]
fn a_cluster_binding() {
    let cluster =
        binding("{ cluster: { nodes: [\"redis://a\", \"redis://b:7001\"] }, password: pw }");
    let nodes = vec![node("a", 6379), node("b", 7001)];
    assert_eq!(cluster.servers, RedisServers::Cluster(nodes));
    assert_eq!(cluster.tls, None);
    let password = Secret::new("pw");
    let username = None;
    assert_eq!(cluster.login, Some(RedisLogin { username, password }));
}

#[test]
fn a_secured_url_is_secured_without_further_words() {
    assert_eq!(
        binding("{ url: rediss://h }").tls,
        Some(RedisTls::default())
    );
    assert_eq!(
        binding("{ url: unix:///run/redis.sock, database: 1 }").database,
        Some(1)
    );
}

#[test]
fn what_does_not_go_together() {
    let table = [
        (
            "{ deadline: 7ms }",
            "url: is missing: a binding needs this, sentinel or cluster",
        ),
        (
            "{ url: redis://h, cluster: { nodes: [redis://a] } }",
            "cluster: a binding has either this or url: remove one",
        ),
        (
            "{ url: redis://:hunter2@h, password: hunter2 }",
            "password: the url has a password as well: remove one",
        ),
        (
            "{ url: redis://h/1, database: 1 }",
            "database: the url names a database as well: remove one",
        ),
        (
            "{ cluster: { nodes: [redis://a] }, database: 0 }",
            "database: a cluster has one database only: remove it",
        ),
        (
            "{ url: redis://h, tls: {} }",
            "tls: the servers are not rediss://: write rediss://, or remove tls",
        ),
        (
            "{ url: redis://h, username: u }",
            "username: a user needs a password: write password",
        ),
        (
            "{ sentinel: { master: m, nodes: [redis://s], username: u } }",
            "sentinel.username: a user needs a password: write password",
        ),
        (
            "{ url: redis://h, password: '' }",
            "password: must not be empty",
        ),
        (
            "{ sentinel: { master: my master, nodes: [redis://s] } }",
            "sentinel.master: expected a name without white space, such as mymaster",
        ),
        (
            "{ sentinel: { nodes: [redis://s] } }",
            "sentinel: missing key \"master\"",
        ),
        (
            "{ cluster: { nodes: [] } }",
            "cluster.nodes: must have at least one item",
        ),
        (
            "{ cluster: { nodes: [redis://a, rediss://b] } }",
            "cluster.nodes[1]: all nodes are reached in one way: write all as redis://, or all as rediss://",
        ),
        (
            "{ cluster: { nodes: [\"redis://:hunter2@a\"] } }",
            "cluster.nodes[0]: a node has no user and password: expected redis://host[:port], or rediss:// for TLS, and write username and password",
        ),
    ];
    for (binding, problem) in table {
        let found = problems(&with(binding));
        assert_eq!(found, [format!("7: redis.main.{problem}")], "{binding}");
    }
}
