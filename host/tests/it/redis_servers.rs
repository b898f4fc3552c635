//! Redis as it is run: secured, with users, behind Sentinels, as a cluster; and what becomes of its connections.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, policy_on, received};
use crate::support::controlled::Controlled;
use crate::support::faulty_proxy::FaultyProxy;
use crate::support::peers::free_port;
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::tls::Authority;
use crate::support::{Answer, TestGateway, eventually, metric, within};

/// What the probe counts, behind the grant's prefix.
const KEY: &str = "pn";

/// Time for a call, a connection included, that a busy machine does not use up.
const AMPLE: &str = "deadline: 5s, connect_timeout: 5s";

/// A config with a policy on `/r` that counts requests under [`KEY`] and asks a script for the time.
fn probing(upstream: &MockService, binding: &str) -> String {
    let terms =
        "grants: { redis: { binding: main, prefix: p, scripts: true } }, limits: { time: 20s }";
    let policies = [policy_on("probe", "fixtures/redis-probe", terms)];
    let routes = [("r", vec![closed("probe", "{ key: n }")])];
    let text = config(&upstream.url(), &policies, &routes);
    format!("redis: {{ main: {{ {binding} }} }}\n{text}")
}

/// A gateway whose probe goes to these servers.
async fn start(binding: &str) -> (MockService, TestGateway) {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&probing(&upstream, binding)).await;
    (upstream, gateway)
}

async fn probe(gateway: &TestGateway) -> Answer {
    gateway.get("/r/echo").await
}

/// What the probe has counted, with this request.
async fn count(gateway: &TestGateway) -> String {
    let answer = probe(gateway).await;
    assert_eq!(received(&answer, "x-redis-error"), "", "{}", answer.text());
    assert_ne!(received(&answer, "x-redis-time"), "");
    received(&answer, "x-redis-count")
}

/// What the probe's calls have failed with.
async fn error(gateway: &TestGateway) -> String {
    received(&probe(gateway).await, "x-redis-error")
}

#[tokio::test]
async fn a_secured_server_with_clients_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (redis, port) = RedisServer::start_secured(&authority, &[]).await;
    authority.issue("gateway", &["gateway"]);
    let file = |authority: &Authority, name: &str| authority.path(name).display().to_string();
    let binding = |ca: String, own: &str| {
        format!(
            "url: 'rediss://127.0.0.1:{port}/2', {AMPLE}, tls: {{ ca: '{ca}', {own} }}, circuit: {{ failures: 10000 }}"
        )
    };
    let own = format!(
        "client_certificate: {{ certificate: '{}', key: '{}' }}",
        file(&authority, "gateway.pem"),
        file(&authority, "gateway.key")
    );
    let upstream = MockService::start().await;
    let good = probing(&upstream, &binding(file(&authority, "ca.pem"), &own));
    let gateway = TestGateway::start(&good).await;
    assert_eq!(count(&gateway).await, "1");
    assert_eq!(redis.ask(&["-n", "2", "GET", KEY]).await, "1");
    let unproven = probing(&upstream, &binding(file(&authority, "ca.pem"), ""));
    gateway.reload(&unproven).await.unwrap();
    assert_ne!(error(&gateway).await, "");
    let distrusted = probing(&upstream, &binding(file(&stranger, "ca.pem"), &own));
    gateway.reload(&distrusted).await.unwrap();
    let error = error(&gateway).await;
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert_eq!(redis.ask(&["-n", "2", "GET", KEY]).await, "1");
}

#[tokio::test]
async fn files_of_tls_that_can_not_be_used_are_problems() {
    let authority = Authority::new();
    authority.issue("one", &["one"]);
    authority.issue("two", &["two"]);
    let path = |name: &str| authority.path(name).display().to_string();
    let own = |certificate: &str, key: &str| {
        format!(
            "client_certificate: {{ certificate: '{}', key: '{}' }}",
            path(certificate),
            path(key)
        )
    };
    let upstream = MockService::start().await;
    let table = [
        (
            format!("ca: '{}'", path("gone.pem")),
            "redis.main.tls.ca: cannot read the file",
        ),
        (
            format!("ca: '{}'", path("one.key")),
            "holds no certificate in PEM",
        ),
        (
            own("one.pem", "two.key"),
            "redis.main.tls.client_certificate: the certificate and the key can't be used",
        ),
    ];
    for (tls, problem) in table {
        let binding = format!("url: 'rediss://127.0.0.1:1', tls: {{ {tls} }}");
        let refusal = TestGateway::refusal(&probing(&upstream, &binding)).await;
        assert!(refusal.contains(problem), "{refusal}");
    }
}

#[tokio::test]
async fn a_user_and_its_password() {
    let redis = RedisServer::start_with(free_port(), &["--requirepass", "default-pw"]).await;
    let admin = ["-a", "default-pw", "--no-auth-warning"];
    let user = [
        "ACL",
        "SETUSER",
        "gateway",
        "on",
        ">p@ss/w#rd",
        "~p*",
        "+@all",
        "-@dangerous",
    ];
    assert_eq!(redis.ask(&[&admin[..], &user].concat()).await, "OK");
    let url = redis.url();
    let authority = url.trim_start_matches("redis://");
    let upstream = MockService::start().await;
    let good = [
        format!("url: '{url}', username: gateway, password: 'p@ss/w#rd', {AMPLE}"),
        format!("url: 'redis://gateway:p%40ss%2Fw%23rd@{authority}', {AMPLE}"),
        format!("url: 'redis://:default-pw@{authority}', {AMPLE}"),
    ];
    for (number, binding) in good.iter().enumerate() {
        let gateway = TestGateway::start(&probing(&upstream, binding)).await;
        assert_eq!(count(&gateway).await, (number + 1).to_string(), "{binding}");
    }
    let refused = "the server refused the login: check username and password";
    let bad = [
        (
            format!("url: '{url}', username: gateway, password: hunter2, {AMPLE}"),
            refused,
        ),
        (
            format!("url: 'redis://gateway:hunter2@{authority}', {AMPLE}"),
            refused,
        ),
        (
            format!("url: '{url}', {AMPLE}"),
            "NOAUTH Authentication required.",
        ),
    ];
    for (binding, expected) in bad {
        let gateway = TestGateway::start(&probing(&upstream, &binding)).await;
        let error = error(&gateway).await;
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // A right that is missing is a matter of the call.
    let user = ["ACL", "SETUSER", "gateway", "-incrby"];
    assert_eq!(redis.ask(&[&admin[..], &user].concat()).await, "OK");
    let gateway = TestGateway::start(&probing(&upstream, &good[0])).await;
    let answer = probe(&gateway).await;
    let error = received(&answer, "x-redis-error");
    assert!(error.contains("NOPERM"), "{error}");
    assert_ne!(received(&answer, "x-redis-time"), "");
}

#[tokio::test]
async fn a_socket_in_the_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let redis = RedisServer::start_with(free_port(), &["--unixsocket", socket]).await;
    let (_upstream, gateway) =
        start(&format!("url: 'unix://{socket}', database: 1, {AMPLE}")).await;
    assert_eq!(count(&gateway).await, "1");
    assert_eq!(redis.ask(&["-n", "1", "GET", KEY]).await, "1");
}

#[tokio::test]
async fn the_master_that_sentinels_name() {
    let login = ["--requirepass", "pw", "--masterauth", "pw"];
    let master = RedisServer::start_with(free_port(), &login).await;
    let of = ["--replicaof", "127.0.0.1", &master.port().to_string()];
    let replica = RedisServer::start_with(free_port(), &[&login[..], &of].concat()).await;
    let settings = "sentinel auth-pass mymaster pw\nrequirepass spw";
    let sentinel = RedisServer::start_sentinel(master.port(), settings).await;
    let gone = free_port();
    let (_upstream, gateway) = start(&format!(
        "sentinel: {{ master: mymaster, nodes: ['redis://127.0.0.1:{gone}', '{}'], password: spw }}, password: pw, {AMPLE}",
        sentinel.url()
    ))
    .await;
    assert_eq!(count(&gateway).await, "1");
    let of_replica = async |command: &[&str]| {
        let login = ["-a", "pw", "--no-auth-warning"];
        replica.ask(&[&login, command].concat()).await
    };
    eventually("the replica has it", async || {
        of_replica(&["GET", KEY]).await == "1"
    })
    .await;
    eventually("the Sentinel knows the replica", async || {
        let command = ["SENTINEL", "REPLICAS", "mymaster"];
        let login = ["-a", "spw", "--no-auth-warning"];
        let replicas = sentinel.ask(&[&login[..], &command].concat()).await;
        replicas.contains(&replica.port().to_string())
    })
    .await;
    drop(master);
    // Calls fail until the Sentinel has made the replica a master.
    eventually("the replica counts on", async || {
        received(&probe(&gateway).await, "x-redis-count") == "2"
    })
    .await;
    assert_eq!(of_replica(&["GET", KEY]).await, "2");
}

#[tokio::test]
async fn a_cluster_whose_slot_moves() {
    let cluster = RedisCluster::start().await;
    let (_upstream, gateway) = start(&format!("cluster: {}, {AMPLE}", cluster.config())).await;
    assert_eq!(count(&gateway).await, "1");
    let slot = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", KEY]).await;
    let from = cluster.owner(&slot);
    let to = (from + 1) % cluster.nodes.len();
    let id = async |place: usize| cluster.nodes[place].ask(&["CLUSTER", "MYID"]).await;
    let (from_id, to_id) = (id(from).await, id(to).await);
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
    let set = ["CLUSTER", "SETSLOT", &slot];
    let on = async |node: &RedisServer, rest: &[&str]| {
        assert_eq!(node.ask(&[&set, rest].concat()).await, "OK");
    };
    on(to, &["IMPORTING", &from_id]).await;
    on(from, &["MIGRATING", &to_id]).await;
    let to_port = to.port().to_string();
    let migrated = from
        .ask(&["MIGRATE", "127.0.0.1", &to_port, KEY, "0", "5000"])
        .await;
    assert_eq!(migrated, "OK");
    // The one node answers ASK.
    assert_eq!(count(&gateway).await, "2");
    for node in [to, from] {
        on(node, &["NODE", &to_id]).await;
    }
    // Now it answers MOVED.
    assert_eq!(count(&gateway).await, "3");
    assert_eq!(to.ask(&["GET", KEY]).await, "3");
}

/// A config with the builtin rate limit and two limits, which are counted by one script.
fn two_limits(upstream: &MockService, cluster: &RedisCluster, prefix: &str) -> String {
    format!(
        "
redis: {{ main: {{ cluster: {}, {AMPLE} }} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit:
    component: builtin:rate-limit
    grants: {{ metrics: {{}}, redis: {{ binding: main, prefix: '{prefix}', scripts: true }} }}
    limits: {{ time: 20s }}
routes:
  - name: r
    upstream: u
    policies:
      - use: limit
        on_failure: closed
        config:
          limits:
            - {{ name: token, key: {{ header: x-api-key }}, rate: 10, per: 1h, burst: 10 }}
            - {{ name: all, key: {{ header: x-tenant }}, rate: 10, per: 1h, burst: 10 }}
          on_store_error: closed
",
        cluster.config(),
        upstream.url()
    )
}

#[tokio::test]
async fn a_scripts_keys_are_in_one_slot_of_a_cluster_or_refused() {
    let (cluster, upstream) = (RedisCluster::start().await, MockService::start().await);
    let gateway = TestGateway::start(&two_limits(&upstream, &cluster, "rl:")).await;
    // Limits by the same fields have one hash tag; these have two, unless the prefix has one before them.
    let fields = [("x-api-key", "a"), ("x-tenant", "b")];
    assert_eq!(gateway.get_with("/x", &fields).await.status, 503);
    let refused = [("portcullis_outcome", "server")];
    let name = "portcullis_redis_call_duration_seconds_count";
    gateway.wait_for_metric(name, &refused, 1.0).await;
    gateway
        .reload(&two_limits(&upstream, &cluster, "{rl}:"))
        .await
        .unwrap();
    assert_eq!(gateway.get_with("/x", &fields).await.status, 200);
}

#[tokio::test]
async fn one_connection_serves_a_worker() {
    const CLIENTS: usize = 50;
    let redis = RedisServer::start().await;
    let proxy = FaultyProxy::start(redis.port()).await;
    let (_upstream, gateway) = start(&format!("url: '{}', {AMPLE}", proxy.url())).await;
    let clients = (0..CLIENTS).map(|_| {
        let address = gateway.address;
        tokio::spawn(async move {
            let mut client = crate::support::TestClient::connect(address).await;
            for _ in 0..10 {
                let answer = client.send(Method::GET, "/r/echo", &[], "").await;
                assert_eq!(received(&answer, "x-redis-error"), "");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        within(client).await.unwrap();
    }
    assert_eq!(redis.ask(&["GET", KEY]).await, (CLIENTS * 10).to_string());
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_a_binding_that_it_leaves_as_it_is() {
    let redis = RedisServer::start().await;
    let upstream = MockService::start().await;
    let binding = format!("url: '{}', {AMPLE}", redis.url());
    let gateway = TestGateway::start(&probing(&upstream, &binding)).await;
    assert_eq!(count(&gateway).await, "1");
    let id = |line: &str| line.split(' ').next().unwrap().to_owned();
    let [before] = &redis.gateways().await[..] else {
        panic!("one connection");
    };
    let others = format!("{}\nsecrets: {{ new: x }}\n", probing(&upstream, &binding));
    gateway.reload(&others).await.unwrap();
    assert_eq!(count(&gateway).await, "2");
    let [after] = &redis.gateways().await[..] else {
        panic!("one connection");
    };
    assert_eq!(id(before), id(after));
    let changed = probing(&upstream, &format!("{binding}, circuit: {{ failures: 6 }}"));
    gateway.reload(&changed).await.unwrap();
    assert_eq!(count(&gateway).await, "3");
    eventually("the old connection is closed", async || {
        let left = redis.gateways().await;
        left.len() == 1 && id(&left[0]) != id(before)
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_under_way_outlives_its_binding() {
    let redis = RedisServer::start().await;
    let upstream = MockService::start().await;
    let binding = format!("url: '{}', {AMPLE}", redis.url());
    let gateway = TestGateway::start(&probing(&upstream, &binding)).await;
    assert_eq!(count(&gateway).await, "1");
    redis.stall();
    let address = gateway.address;
    let waiting = tokio::spawn(async move {
        let mut client = crate::support::TestClient::connect(address).await;
        client.send(Method::GET, "/r/echo", &[], "").await
    });
    eventually("the request waits", async || {
        metric(&gateway.metrics().await, "portcullis_policy_instances", &[]) >= 1.0
    })
    .await;
    let gone = format!("url: 'redis://127.0.0.1:{}', {AMPLE}", free_port());
    gateway.reload(&probing(&upstream, &gone)).await.unwrap();
    redis.resume();
    let answer = within(waiting).await.unwrap();
    assert_eq!(received(&answer, "x-redis-count"), "2", "{}", answer.text());
    eventually("its connection is closed", async || {
        redis.gateways().await.is_empty()
    })
    .await;
    assert!(error(&gateway).await.contains("cannot connect"));
}

#[tokio::test]
async fn the_status_tells_of_circuits() {
    let redis = RedisServer::start().await;
    let upstream = MockService::start().await;
    let binding = format!(
        "url: '{}', {AMPLE}, circuit: {{ failures: 2 }}",
        redis.url()
    );
    let text = format!(
        "control: {{ address: '127.0.0.1:0' }}\n{}",
        probing(&upstream, &binding)
    );
    let controlled = Controlled::start(&text).await;
    let circuit = async || {
        let status = controlled.get("/api/v1/status", "viewer").await.json();
        let redis = &status["redis"][0];
        assert_eq!(redis["name"], "main");
        redis["circuit"].as_str().unwrap().to_owned()
    };
    assert_eq!(circuit().await, "closed");
    drop(redis);
    let mut client = crate::support::TestClient::connect(controlled.gateway.address).await;
    eventually("the circuit is open", async || {
        client.send(Method::GET, "/r/echo", &[], "").await;
        circuit().await == "open"
    })
    .await;
    controlled
        .gateway
        .wait_for_log("the servers do not answer: the circuit is open: cannot connect")
        .await;
    let printed = controlled.ask(&["status"]).output;
    assert!(
        printed.contains("redis    main             circuit "),
        "{printed}"
    );
}
