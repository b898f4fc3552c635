//! A valid config and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::json;

use super::{SAMPLE, parse, sample_with};
use crate::*;

fn named<T>(name: &str, thing: T) -> BTreeMap<String, T> {
    BTreeMap::from([(name.to_owned(), thing)])
}

#[test]
fn the_sample_becomes_the_model() {
    let config = parse(SAMPLE).unwrap();
    let expected = Config {
        listeners: vec![Listener {
            name: "http".to_owned(),
            address: "0.0.0.0:8080".parse().unwrap(),
            h2c: true,
            tls: None,
        }],
        metrics: Some(Metrics {
            address: "0.0.0.0:9464".parse().unwrap(),
            max_age: Duration::from_secs(1),
            push: None,
        }),
        control: None,
        policy_store: None,
        workers: Some(2),
        policy_instances: 10_000,
        drain_timeout: Duration::from_secs(20),
        limits: ClientLimits::default(),
        timeouts: ClientTimeouts::default(),
        path_normalisation: PathNormalisation::default(),
        trusted_proxies: Vec::new(),
        via: Some("portcullis".to_owned()),
        drain_delay: Duration::ZERO,
        watch: true,
        access_log: None,
        otlp: None,
        tracing: None,
        log: Log::default(),
        redis: named(
            "main",
            RedisBinding {
                servers: RedisServers::Url(Secret::new("redis://127.0.0.1:6379")),
                login: None,
                database: None,
                tls: None,
                deadline: Duration::from_millis(7),
                connect_timeout: Duration::from_secs(1),
                circuit: RedisCircuit::default(),
            },
        ),
        secrets: BTreeMap::new(),
        dns: Dns::default(),
        upstreams: named("mock-service", upstream()),
        policies: named("rate-limit", policy()),
        routes: vec![route()],
        lines: Lines::default(),
    };
    assert_eq!(config, expected);
}

fn upstream() -> Upstream {
    Upstream {
        endpoints: vec![WeightedEndpoint {
            endpoint: Endpoint {
                host: "127.0.0.1".to_owned(),
                port: 8001,
            },
            weight: 1,
        }],
        load_balancing: LoadBalancing::RoundRobin,
        warm_up: Duration::ZERO,
        panic_threshold: 50,
        health_check: None,
        outlier_detection: None,
        circuit: Circuit::default(),
        retry_budget: RetryBudget::default(),
        protocol: Protocol::Http1,
        tls: None,
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            tunnel_idle: Duration::from_hours(1),
        },
        max_idle_connections: 8,
    }
}

fn policy() -> Policy {
    Policy {
        component: ComponentSource::Builtin("rate-limit".to_owned()),
        isolation: Isolation::Pooled,
        grants: Grants {
            kv: Some(KvGrant { max_bytes: 1 << 20 }),
            redis: Some(RedisGrant {
                binding: "main".to_owned(),
                prefix: "rl:".to_owned(),
                scripts: true,
            }),
            metrics: Some(MetricsGrant {}),
            upstreams: BTreeSet::from(["mock-service".to_owned()]),
            secrets: BTreeSet::new(),
            outcall: None,
        },
        stub: BTreeSet::from([Capability::Secrets]),
        limits: Limits {
            time: Duration::from_millis(20),
            memory: 8 << 20,
            body: 4096,
            ..Limits::default()
        },
        fault_circuit: None,
    }
}

fn route() -> Route {
    Route {
        name: "service1".to_owned(),
        matches: Match {
            host: Some(HostPattern::Exact("api.example.com".to_owned())),
            path_prefix: "/api/service1".to_owned(),
            path: None,
            methods: vec![Method::GET, Method::POST],
            headers: vec![(
                HeaderName::from_static("x-canary"),
                Condition::Exact("1".to_owned()),
            )],
            cookies: Vec::new(),
            query: Vec::new(),
        },
        rewrite: Rewrite {
            strip_prefix: Some("/api/service1".to_owned()),
            add_prefix: Some("/v2".to_owned()),
            path: None,
            host: None,
        },
        destination: Destination::Upstream("mock-service".to_owned()),
        mirror: None,
        request_headers: FieldEdits::default(),
        response_headers: FieldEdits::default(),
        deadline: Duration::from_secs(10),
        limits: RouteLimits::default(),
        max_attempts: 3,
        retry_non_idempotent: true,
        max_retry_after: Duration::from_secs(30),
        replay_buffer: 64 << 10,
        upgrades: Upgrades::default(),
        policies: vec![PolicyUse {
            policy: "rate-limit".to_owned(),
            on_failure: OnFailure::Closed,
            config: json!({ "limits": [{ "name": "token", "rate": 100 }] }),
        }],
    }
}

const SHORTEST: &str = "
listeners: [{ name: http, address: '[::1]:0' }, { name: more, address: '[::1]:0' }]
redis: { main: { url: redis://redis } }
upstreams: { api: { endpoints: [http://API.internal] } }
policies:
  own: { component: file:policies/own.wasm, grants: { kv: {} } }
  abs: { component: file:/opt/x.wasm }
routes: [{ name: all, upstream: api, policies: [{ use: own, on_failure: open }] }]
";

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(SHORTEST).unwrap();
    assert_eq!((&config.metrics, config.workers), (&None, None));
    assert_eq!(config.drain_timeout, Duration::from_secs(10));
    assert_eq!(config.redis["main"].deadline, Duration::from_millis(5));
    let api = &config.upstreams["api"];
    assert_eq!(api.endpoints[0].endpoint.authority(), "api.internal:80");
    assert_eq!(
        (api.timeouts, api.max_idle_connections),
        (Timeouts::default(), 64)
    );
    let own = &config.policies["own"];
    assert_eq!(
        own.component,
        ComponentSource::File("/etc/gw/policies/own.wasm".into())
    );
    assert_eq!(own.isolation, Isolation::PerRequest);
    assert_eq!(
        own.grants.kv,
        Some(KvGrant {
            max_bytes: 16 << 20
        })
    );
    assert!(own.grants.has(Capability::Kv) && !own.grants.has(Capability::Redis));
    assert_eq!(
        own.limits,
        Limits {
            time: Duration::from_millis(50),
            memory: 16 << 20,
            table_elements: 20_000,
            handles: 64,
            body: 1 << 20,
            host_calls: 10_000,
            log_lines: 1_000,
            metric_series: 200,
            outcalls: 8,
            outcall_body: 1 << 20,
        }
    );
    assert_eq!(own.fault_circuit, None);
    let abs = &config.policies["abs"].component;
    assert_eq!(abs, &ComponentSource::File("/opt/x.wasm".into()));
    let route = &config.routes[0];
    assert_eq!(route.matches.path_prefix, "/");
    assert_eq!(route.matches.host, None);
    assert!(route.matches.methods.is_empty() && route.matches.headers.is_empty());
    assert_eq!(route.rewrite, Rewrite::default());
    assert_eq!(
        (route.deadline, route.max_attempts),
        (Duration::from_secs(15), 5)
    );
    assert!(!route.retry_non_idempotent);
    assert_eq!(route.policies[0].config, json!({}));
}

#[test]
fn a_gateway_without_routes_is_valid_when_it_says_so() {
    let config = parse("listeners: [{ name: a, address: 127.0.0.1:80 }]\nroutes: []\n").unwrap();
    assert!(config.routes.is_empty());
}

#[test]
fn an_anchor_can_be_used_again() {
    let text = sample_with(
        "{ limits: [{ name: token, rate: 100 }] }",
        "&limits { limits: [{ rate: 100 }] }",
    ) + "      - { use: rate-limit, on_failure: open, config: *limits }\n";
    let config = parse(&text).unwrap();
    let uses = &config.routes[0].policies;
    assert_eq!(uses[0].config, uses[1].config);
    // Of the use itself there is a line; what is in the alias is where the anchor is.
    assert_eq!(config.locate("routes[0].policies[1].config"), Some(32));
    assert_eq!(
        config.locate("routes[0].policies[1].config.limits[0].rate"),
        Some(31)
    );
}

#[test]
fn a_secret_comes_from_a_variable_or_a_file_and_is_not_printed() {
    for (written, url) in [
        ("\"${REDIS_URL}\"", "redis://:hunter2@redis:6379/1"),
        ("{ file: redis.url }", "redis://:hunter2@redis"),
    ] {
        let config = parse(&sample_with("redis://127.0.0.1:6379", written)).unwrap();
        let servers = &config.redis["main"].servers;
        assert_eq!(servers, &RedisServers::Url(Secret::new(url)));
        let printed = format!("{config:?}");
        assert!(
            !printed.contains("hunter2") && printed.contains("Url([secret])"),
            "{printed}"
        );
    }
}

#[test]
fn where_it_is_written_makes_no_difference() {
    let moved = format!("# A comment.\n\n{SAMPLE}");
    let (moved, original) = (parse(&moved).unwrap(), parse(SAMPLE).unwrap());
    assert_eq!(moved, original);
    assert_eq!(original.locate("routes[0].upstream"), Some(24));
    assert_eq!(moved.locate("routes[0].upstream"), Some(26));
}

#[test]
fn a_problem_of_a_policy_has_its_line_and_path() {
    let config = parse(SAMPLE).unwrap();
    let problem = config
        .lines
        .policy_config_problem(0, 0, "/limits/0/rate", "must be below 100");
    assert_eq!(problem.line, Some(31));
    assert_eq!(
        problem.to_string(),
        "routes[0].policies[0].config.limits[0].rate: must be below 100"
    );
    // Nothing is written there, so the line is that of the config around it.
    let missing = config
        .lines
        .policy_config_problem(0, 0, "/store", "missing");
    assert_eq!(missing.line, Some(31));
    assert_eq!(missing.path, "routes[0].policies[0].config.store");
}

#[test]
fn matches_are_the_same_whatever_their_case_and_order() {
    let text = SAMPLE.to_owned()
        + "
  - name: again
    match: { host: API.EXAMPLE.COM, path_prefix: /api/service1/, methods: [GET, POST], headers: { x-canary: '1' } }
    upstream: mock-service
";
    assert_eq!(
        super::problems(&text),
        [
            "34: routes[1].match: route \"again\" matches the same requests as route \"service1\": change one, or remove it"
        ]
    );
}

#[test]
fn a_fault_circuit_has_defaults_and_bounds() {
    let circuit = |text: &str| {
        let line = format!("isolation: pooled\n    fault_circuit: {text}");
        parse(&sample_with("isolation: pooled", &line))
    };
    let defaults = circuit("{}").unwrap();
    assert_eq!(
        defaults.policies["rate-limit"].fault_circuit,
        Some(FaultCircuit::default())
    );
    let set = circuit("{ faults: 3, window: 1s, open_for: 500ms }").unwrap();
    let expected = FaultCircuit {
        faults: 3,
        window: Duration::from_secs(1),
        open_for: Duration::from_millis(500),
    };
    assert_eq!(set.policies["rate-limit"].fault_circuit, Some(expected));
    let place = "policies.rate-limit.fault_circuit";
    for (text, problem) in [
        ("{ faults: 0 }", "faults: must be 1 to 10000, found 0"),
        ("{ window: 1ms }", "window: must be 100ms to 1h, found 1ms"),
        (
            "{ open_for: 2h }",
            "open_for: must be 100ms to 1h, found 2h",
        ),
    ] {
        let errors = circuit(text).unwrap_err().to_string();
        assert!(errors.contains(&format!("{place}.{problem}")), "{errors}");
    }
}

#[test]
fn the_limits_that_count_can_be_set() {
    let limits = "time: 20ms, memory: 8MiB";
    let counts = "table_elements: 5, handles: 8, host_calls: 7, log_lines: 0, metric_series: 9";
    let more = format!("{limits}, {counts}");
    let config = parse(&sample_with(limits, &more)).unwrap();
    let expected = Limits {
        table_elements: 5,
        handles: 8,
        host_calls: 7,
        log_lines: 0,
        metric_series: 9,
        ..policy().limits
    };
    assert_eq!(config.policies["rate-limit"].limits, expected);
    for (wrong, problem) in [
        (
            "host_calls: 0",
            "host_calls: must be 1 to 1000000000, found 0",
        ),
        (
            "table_elements: 20001",
            "table_elements: must be 1 to 20000, found 20001",
        ),
        ("handles: 7", "handles: must be 8 to 10000, found 7"),
    ] {
        let errors = parse(&sample_with(limits, wrong)).unwrap_err().to_string();
        let problem = format!("policies.rate-limit.limits.{problem}");
        assert!(errors.contains(&problem), "{errors}");
    }
}
