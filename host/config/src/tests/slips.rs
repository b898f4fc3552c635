//! One slip each, and the words for it.

/// Each change to the sample, and the one problem that it makes.
pub(super) const SLIPS: &[(&str, &str, &str)] = &[
    // Keys.
    (
        "drain_timeout: 20s",
        "drain_timeot: 20s",
        "5: drain_timeot: unknown key; did you mean \"drain_timeout\"? known: access_log, control, dns, drain_delay, drain_timeout, limits, listeners, log, metrics, otlp, path_normalisation, policies, policy_instances, policy_store, redis, routes, secrets, timeouts, tracing, trusted_proxies and 4 more",
    ),
    (
        "    max_idle_connections: 8",
        "    unknown: {}",
        "12: upstreams.mock-service.unknown: unknown key; known: circuit, endpoints, health_check, load_balancing, max_idle_connections, outlier_detection, panic_threshold, protocol, retry_budget, timeouts, tls, warm_up",
    ),
    (
        "metrics: {}",
        "metrics: { x: 1 }",
        "17: policies.rate-limit.grants.metrics: there are no settings here yet: write {}",
    ),
    (
        "        on_failure: closed\n",
        "",
        "29: routes[0].policies[0]: missing key \"on_failure\": one of closed, open",
    ),
    (
        "    upstream: mock-service\n",
        "",
        "21: routes[0].upstream: is missing: a route needs this, split, redirect or respond",
    ),
    (
        "    endpoints: [http://127.0.0.1:8001]\n",
        "",
        "9: upstreams.mock-service: missing key \"endpoints\"",
    ),
    // Types.
    (
        "metrics: { address: 0.0.0.0:9464 }",
        "metrics:",
        "3: metrics: expected a mapping, but nothing is written here",
    ),
    (
        "workers: 2",
        "workers: two",
        "4: workers: expected a whole number, found \"two\"",
    ),
    (
        "workers: 2",
        "workers: 2.5",
        "4: workers: expected a whole number, found the number 2.5",
    ),
    (
        "retry_non_idempotent: true",
        "retry_non_idempotent: yes",
        "27: routes[0].retry_non_idempotent: expected true or false, found \"yes\"",
    ),
    (
        "{ X-Canary: \"1\" }",
        "{ X-Canary: 1 }",
        "22: routes[0].match.headers.X-Canary: expected a text or a mapping, found the number 1: quote it",
    ),
    (
        "[POST, GET]",
        "GET",
        "22: routes[0].match.methods: expected a list, found a text",
    ),
    (
        "drain_timeout: 20s",
        "drain_timeout: 20",
        "5: drain_timeout: expected a duration such as 250ms, 5s or 1m, found the number 20",
    ),
    (
        "drain_timeout: 20s",
        "drain_timeout: 20 s",
        "5: drain_timeout: expected a duration such as 250ms, 5s or 1m, found \"20 s\"",
    ),
    (
        "memory: 8MiB",
        "memory: 8MB",
        "19: policies.rate-limit.limits.memory: expected a size such as 64KiB, 16MiB or 1GiB, found \"8MB\"",
    ),
    (
        "isolation: pooled",
        "isolation: pool",
        "16: policies.rate-limit.isolation: expected one of per-request, pooled, found \"pool\"",
    ),
    (
        "on_failure: closed",
        "on_failure: close",
        "30: routes[0].policies[0].on_failure: expected one of closed, open, found \"close\"; did you mean \"closed\"?",
    ),
    (
        "on_failure: closed",
        "on_failure: true",
        "30: routes[0].policies[0].on_failure: expected one of closed, open, found true",
    ),
    (
        "stub: [secrets]",
        "stub: [secret]",
        "18: policies.rate-limit.stub[0]: expected one of kv, redis, metrics, secrets, outcall, found \"secret\"; did you mean \"secrets\"?",
    ),
    (
        "workers: 2",
        "workers: 2.0",
        "4: workers: invalid type: floating point `2.0`, expected u16",
    ),
    // Names.
    (
        "name: http,",
        "name: -http,",
        "2: listeners[0].name: expected a name of at most 63 lower-case letters, digits, \".\", \"_\" and \"-\" that starts with a letter or digit, found \"-http\"",
    ),
    (
        "redis:\n",
        "redis:\n  Second: { url: redis://r }\n",
        "7: redis.Second: expected a name of at most 63 lower-case letters, digits, \".\", \"_\" and \"-\" that starts with a letter or digit",
    ),
    // Numbers, durations and sizes.
    (
        "workers: 2",
        "workers: 0",
        "4: workers: must be 1 to 256, found 0",
    ),
    (
        "workers: 2",
        "workers: 257",
        "4: workers: must be 1 to 256, found 257",
    ),
    (
        "workers: 2",
        "workers: 70000",
        "4: workers: must be 1 to 256, found 70000",
    ),
    (
        "max_attempts: 3",
        "max_attempts: 21",
        "26: routes[0].max_attempts: must be 1 to 20, found 21",
    ),
    (
        "max_idle_connections: 8",
        "max_idle_connections: -1",
        "12: upstreams.mock-service.max_idle_connections: must be 0 to 10000, found -1",
    ),
    (
        "drain_timeout: 20s",
        "drain_timeout: 2h",
        "5: drain_timeout: must be 0s to 1h, found 2h",
    ),
    (
        "deadline: 7ms",
        "deadline: 0ms",
        "7: redis.main.deadline: must be 1ms to 10s, found 0s",
    ),
    (
        "connect: 2s",
        "connect: 61m",
        "11: upstreams.mock-service.timeouts.connect: must be 1ms to 1h, found 61m",
    ),
    (
        "deadline: 10s",
        "deadline: 0s",
        "25: routes[0].deadline: must be 1ms to 1h, found 0s",
    ),
    (
        "time: 20ms",
        "time: 61s",
        "19: policies.rate-limit.limits.time: must be 1ms to 1m, found 61s",
    ),
    (
        "memory: 8MiB",
        "memory: 1KiB",
        "19: policies.rate-limit.limits.memory: must be 1MiB to 1GiB, found 1KiB",
    ),
    (
        "body: 4KiB",
        "body: 65MiB",
        "19: policies.rate-limit.limits.body: must be 0B to 64MiB, found 65MiB",
    ),
    (
        "max_bytes: 1MiB",
        "max_bytes: 2GiB",
        "17: policies.rate-limit.grants.kv.max_bytes: must be 1KiB to 1GiB, found 2GiB",
    ),
    // References.
    (
        "upstream: mock-service",
        "upstream: api",
        "24: routes[0].upstream: unknown upstream \"api\"; known: mock-service",
    ),
    (
        "upstream: mock-service",
        "upstream: mock-servic",
        "24: routes[0].upstream: unknown upstream \"mock-servic\"; did you mean \"mock-service\"? known: mock-service",
    ),
    (
        "use: rate-limit",
        "use: retry",
        "29: routes[0].policies[0].use: unknown policy \"retry\"; known: rate-limit",
    ),
    (
        "upstreams: [mock-service]",
        "upstreams: [mock-servic]",
        "17: policies.rate-limit.grants.upstreams[0]: unknown upstream \"mock-servic\"; did you mean \"mock-service\"? known: mock-service",
    ),
    (
        "upstreams: [mock-service]",
        "upstreams: []",
        "17: policies.rate-limit.grants.upstreams: must have at least one item",
    ),
    (
        "upstreams: [mock-service]",
        "upstreams: [mock-service, mock-service]",
        "17: policies.rate-limit.grants.upstreams: an item is listed twice",
    ),
    (
        "binding: main",
        "binding: other",
        "17: policies.rate-limit.grants.redis.binding: unknown redis binding \"other\"; known: main",
    ),
    (
        "redis:\n  main: { url: redis://127.0.0.1:6379, deadline: 7ms }\n",
        "",
        "15: policies.rate-limit.grants.redis.binding: unknown redis binding \"main\"; known: none",
    ),
    // Listeners.
    (
        "listeners:\n  - { name: http, address: 0.0.0.0:8080 }",
        "listeners: []",
        "1: listeners: must have at least one item",
    ),
    (
        "metrics: { address: 0.0.0.0:9464 }",
        "metrics: { address: 0.0.0.0:8080 }",
        "3: metrics.address: the same address as listeners[0].address",
    ),
    (
        "0.0.0.0:8080",
        "localhost:8080",
        "2: listeners[0].address: expected an IP address, not a host name: write 127.0.0.1 for this machine, 0.0.0.0 for all interfaces",
    ),
    // Redis.
    (
        "deadline: 7ms }",
        "deadlin: 7ms }",
        "7: redis.main.deadlin: unknown key; did you mean \"deadline\"? known: circuit, cluster, connect_timeout, database, deadline, password, sentinel, tls, url, username",
    ),
    (
        "deadline: 7ms }",
        "circuit: { failures: 0 } }",
        "7: redis.main.circuit.failures: must be 1 to 10000, found 0",
    ),
    (
        "deadline: 7ms }",
        "circuit: { probe_every: 1h } }",
        "7: redis.main.circuit.probe_every: must be 10ms to 1m, found 1h",
    ),
    (
        "deadline: 7ms }",
        "connect_timeout: 1ms }",
        "7: redis.main.connect_timeout: must be 10ms to 10s, found 1ms",
    ),
    (
        "url: redis://127.0.0.1:6379",
        "url: \"${NO_SUCH}\"",
        "7: redis.main.url: the environment variable NO_SUCH is not set, or is not UTF-8",
    ),
    (
        "url: redis://127.0.0.1:6379",
        "url: { file: gone }",
        "7: redis.main.url: cannot read the file /etc/gw/gone: entity not found",
    ),
    (
        "url: redis://127.0.0.1:6379",
        "url: { path: x, file: redis.url }",
        "7: redis.main.url.path: unknown key; known: file",
    ),
    (
        "url: redis://127.0.0.1:6379",
        "url: 6379",
        "7: redis.main.url: expected a text or a mapping, found a number",
    ),
    (
        "main: { url: redis://127.0.0.1:6379, deadline: 7ms }",
        "main: redis://:hunter2@h",
        "7: redis.main: expected a mapping, found a text",
    ),
    // Upstreams.
    (
        "[http://127.0.0.1:8001]",
        "[]",
        "10: upstreams.mock-service.endpoints: must have at least one item",
    ),
    (
        "[http://127.0.0.1:8001]",
        "[http://a, http://A:80/]",
        "10: upstreams.mock-service.endpoints[1]: the same endpoint as upstreams.mock-service.endpoints[0]",
    ),
    (
        "[http://127.0.0.1:8001]",
        "[ftp://a]",
        "10: upstreams.mock-service.endpoints[0]: no such scheme: expected http://host:port or https://host:port",
    ),
    // Policies.
    (
        "builtin:rate-limit",
        "policies/x.wasm",
        "15: policies.rate-limit.component: write file:policies/x.wasm",
    ),
    (
        "builtin:rate-limit",
        "rate-limit",
        "15: policies.rate-limit.component: write builtin:rate-limit for a policy that comes with the gateway, or file:PATH",
    ),
    (
        "builtin:rate-limit",
        "oci://registry/x",
        "15: policies.rate-limit.component: only builtin:NAME, file:PATH and store:NAME are supported: download the component to a file",
    ),
    (
        "builtin:rate-limit",
        "store:rate-limit",
        "15: policies.rate-limit.component: there is no policy store; add `policy_store: { directory: policy-store }` to the config",
    ),
    (
        "builtin:rate-limit",
        "store:Rate Limit",
        "15: policies.rate-limit.component: expected store: and a name of at most 63 lower-case letters, digits, \".\", \"_\" and \"-\" that starts with a letter or digit",
    ),
    (
        "builtin:rate-limit",
        "file:///opt/x.wasm",
        "15: policies.rate-limit.component: a file is named by its path, not by a URL: write file:/opt/x.wasm",
    ),
    (
        "builtin:rate-limit",
        "'file: x.wasm'",
        "15: policies.rate-limit.component: no space may stand around the path: write file:x.wasm",
    ),
    (
        "builtin:rate-limit",
        "'file:'",
        "15: policies.rate-limit.component: the path is missing: write file:policies/x.wasm",
    ),
    (
        "prefix: \"rl:\"",
        "prefix: \"\"",
        "17: policies.rate-limit.grants.redis.prefix: must not be empty",
    ),
    (
        "prefix: \"rl:\"",
        "prefix: ééééééééééééééééééééééééééééééééé",
        "17: policies.rate-limit.grants.redis.prefix: must have at most 64 bytes, found 66",
    ),
    (
        "stub: [secrets]",
        "stub: [outcall, redis]",
        "18: policies.rate-limit.stub[1]: redis is granted as well: remove the grant or the stub",
    ),
    (
        "stub: [secrets]",
        "stub: [secrets, secrets]",
        "18: policies.rate-limit.stub: an item is listed twice",
    ),
    // Routes.
    (
        "host: api.example.com",
        "host: api.example.com:443",
        "22: routes[0].match.host: a host is matched without its port: write api.example.com",
    ),
    (
        "path_prefix: /api/service1,",
        "path_prefix: api,",
        "22: routes[0].match.path_prefix: must start with /",
    ),
    (
        "[POST, GET]",
        "[]",
        "22: routes[0].match.methods: must have at least one item",
    ),
    (
        "[POST, GET]",
        "[get]",
        "22: routes[0].match.methods[0]: methods are told apart by case: write GET",
    ),
    (
        "[POST, GET]",
        "[\"G T\"]",
        "22: routes[0].match.methods[0]: not a method such as GET",
    ),
    (
        "{ X-Canary: \"1\" }",
        "{ \"x y\": \"1\" }",
        "22: routes[0].match.headers[\"x y\"]: not a header name",
    ),
    (
        "{ X-Canary: \"1\" }",
        "{ x: \"a\\nb\" }",
        "22: routes[0].match.headers.x: a header value has no control characters",
    ),
    (
        "{ X-Canary: \"1\" }",
        "{ x: \"1\", X: \"2\" }",
        "22: routes[0].match.headers.x: the same field as X: case makes no difference",
    ),
    (
        "{ X-Canary: \"1\" }",
        "{ Host: a }",
        "22: routes[0].match.headers.Host: match the host with match.host instead",
    ),
    (
        "strip_prefix: /api/service1",
        "strip_prefix: /api/serv",
        "23: routes[0].rewrite.strip_prefix: must be a prefix of match.path_prefix, which is /api/service1",
    ),
    (
        "add_prefix: /v2",
        "add_prefix: v2",
        "23: routes[0].rewrite.add_prefix: must start with /",
    ),
];
