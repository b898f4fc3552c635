//! A gateway to which everything happens that a metric tells of.

use std::net::SocketAddr;

use http::Method;
use mock_service::{MockService, Step};
use tokio::net::TcpStream;

use super::frames::{END_HEADERS, END_STREAM, FrameConnection, HEADERS, PING, RST_STREAM, frame};
use super::process::Portcullis;
use super::raw::{RawConnection, RefusingAddress};
use super::redis::RedisServer;
use super::tls::Authority;
use super::{TestClient, component, within};

/// How many requests the route `counted` gets in a round.
pub(crate) const COUNTED: usize = 20;

/// What is behind the gateways: services, one of which fails, Redis, and an address that refuses.
pub(crate) struct Behind {
    good: [MockService; 2],
    bad: MockService,
    redis: RedisServer,
    refusing: RefusingAddress,
}

impl Behind {
    /// All of it, at free ports.
    pub(crate) async fn start() -> Self {
        let bad = MockService::start().await;
        bad.script("/x", vec![Step::Status(503); 10_000]);
        Self {
            good: [MockService::start().await, MockService::start().await],
            bad,
            redis: RedisServer::start().await,
            refusing: RefusingAddress::take(),
        }
    }

    fn upstreams(&self) -> String {
        let [one, two] = [self.good[0].url(), self.good[1].url()];
        let (bad, refusing) = (self.bad.url(), self.refusing.url());
        format!(
            "
upstreams:
  shop: {{ endpoints: ['{one}', '{two}'], health_check: {{ interval: 200ms }}, retry_budget: {{ ratio: 0, min_retries_per_second: 1 }} }}
  down: {{ endpoints: ['{refusing}'], health_check: {{ interval: 200ms, unhealthy_after: 1 }} }}
  patchy: {{ endpoints: ['{one}', '{bad}'], outlier_detection: {{ consecutive_failures: 1, base_ejection: 5m }} }}
  narrow: {{ endpoints: ['{one}'], circuit: {{ max_requests: 1 }} }}
redis:
  main: {{ url: '{redis}', deadline: 2s }}
  away: {{ url: '{away}', deadline: 50ms }}
",
            redis = self.redis.url(),
            away = refusing.replace("http", "redis"),
        )
    }
}

fn policies() -> String {
    let built = |name: &str| component(&format!("fixtures/{name}")).display().to_string();
    format!(
        "
policies:
  limit: {{ component: 'builtin:rate-limit', isolation: pooled, grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: main, prefix: 'a:', scripts: true }} }}, limits: {{ time: 5s }} }}
  away: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: away, prefix: 'b:', scripts: true }} }}, limits: {{ time: 5s }} }}
  retry: {{ component: 'builtin:retry', isolation: pooled, grants: {{ metrics: {{}} }} }}
  hostile: {{ component: 'file:{hostile}', limits: {{ time: 5s }}, fault_circuit: {{ faults: 3, window: 1h, open_for: 1h }} }}
  faulty: {{ component: 'file:{hostile}', limits: {{ time: 5s }} }}
  caller: {{ component: 'file:{caller}', grants: {{ outcall: {{ upstreams: [shop] }} }}, limits: {{ time: 5s }} }}
",
        hostile = built("hostile"),
        caller = built("outcall-probe"),
    )
}

/// Each takes the paths under its name.
fn routes() -> String {
    let limit = |name: &str, more: &str| {
        format!(
            "{{ limits: [{{ name: key, key: {{ header: x-key }}, rate: 1, per: 1h, burst: 5 }}] {more} }}, use: {name}, on_failure: closed"
        )
    };
    let routes = [
        ("counted", "upstream: shop".to_owned()),
        ("limited", format!("upstream: shop, policies: [{{ config: {} }}]", limit("limit", ""))),
        ("degraded", format!("upstream: shop, policies: [{{ config: {} }}]", limit("away", ", on_store_error: local, gateways: 2"))),
        ("flaky", "upstream: shop, policies: [{ use: retry, on_failure: open, config: { backoff: { base: 1ms, cap: 1ms } } }]".to_owned()),
        ("slow", "upstream: shop".to_owned()),
        ("down", "upstream: down".to_owned()),
        ("patchy", "upstream: patchy".to_owned()),
        ("narrow", "upstream: narrow".to_owned()),
        ("mirrored", "upstream: shop, mirror: { upstream: narrow }".to_owned()),
        ("hostile", "upstream: shop, policies: [{ use: hostile, on_failure: closed, config: { hook: on_request, mode: trap, when_header: x-bad } }]".to_owned()),
        (
            "faulty",
            "upstream: shop, policies: [{ use: faulty, on_failure: open, config: { hook: on_request, mode: trap, when_header: x-bad } }]".to_owned(),
        ),
        ("caller", "respond: { status: 204 }, policies: [{ use: caller, on_failure: closed, config: { upstream: shop, times: 9 } }]".to_owned()),
    ];
    let routes = routes.map(|(name, keys)| {
        let rewrite = if keys.starts_with("upstream") {
            format!("rewrite: {{ strip_prefix: /{name} }}, ")
        } else {
            String::new()
        };
        format!("  - {{ name: {name}, match: {{ path_prefix: /{name} }}, {rewrite}{keys} }}\n")
    });
    format!("routes:\n{}", routes.concat())
}

/// One gateway with its certificates.
pub(crate) struct BusyGateway {
    pub(crate) gateway: Portcullis,
    authority: Authority,
    https: SocketAddr,
    config: String,
}

impl BusyGateway {
    /// Before all that.
    pub(crate) async fn start(behind: &Behind) -> Self {
        let authority = Authority::new();
        authority.issue("a", &["localhost"]);
        let text = format!(
            "
log: {{ format: human }}
listeners:
  - {{ name: http, address: '127.0.0.1:0' }}
  - {{ name: https, address: '127.0.0.1:0', tls: {{ certificates: [{{ certificate: '{certificate}', key: '{key}' }}] }} }}
metrics: {{ address: '127.0.0.1:0' }}
workers: 1
access_log: {{ path: /dev/full }}
limits: {{ uri_bytes: 1KiB, h2_resets: 20, connections_per_client: 30 }}
timeouts: {{ head: 300ms }}
{}{}{}",
            behind.upstreams(),
            policies(),
            routes(),
            certificate = authority.path("a.pem").display(),
            key = authority.path("a.key").display(),
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        std::fs::write(&path, &text).unwrap();
        let gateway = Portcullis::start_at(path, directory).await;
        let log = gateway.log();
        let (_, https) = log.split_once("serves on https://").unwrap();
        let https = https[..https.find('\n').unwrap()].parse().unwrap();
        Self {
            gateway,
            authority,
            https,
            config: text,
        }
    }

    /// Where Prometheus finds it.
    pub(crate) fn target(&self) -> String {
        self.gateway.metrics_address.to_string()
    }

    /// A request of each kind, and more of some; rounds have numbers of their own.
    pub(crate) async fn round(&self, number: usize) {
        let mut client = self.gateway.client().await;
        for count in 0..COUNTED {
            let path = ["/counted/x", "/counted/status/404", "/counted/status/500"][count % 3];
            ask(&mut client, path, number).await;
        }
        for path in [
            "/elsewhere",
            "/down/x",
            "/mirrored/x",
            "/caller",
            "/flaky/reset",
        ] {
            ask(&mut client, path, number).await;
        }
        for path in [
            "/limited/x",
            "/degraded/x",
            "/flaky/flaky",
            "/patchy/x",
            "/hostile/x",
            "/faulty/x",
        ] {
            for _ in 0..8 {
                ask(&mut client, path, number).await;
            }
        }
        ask(
            &mut client,
            &format!("/counted/{}", "x".repeat(2000)),
            number,
        )
        .await;
        drop(client);
        self.too_many_at_once().await;
        self.hostile_clients().await;
        // Not in each, since a config that keeps changing is not read before it rests.
        if number.is_multiple_of(4) {
            self.changes();
        }
    }

    /// Another certificate, and another limit, which no run of the tests has compiled yet.
    fn changes(&self) {
        self.authority.issue("a", &["localhost"]);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let changed = self
            .config
            .replace("name: key", &format!("name: key-{now}"));
        std::fs::write(self.gateway.config_path(), changed).unwrap();
    }

    async fn too_many_at_once(&self) {
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = self.gateway.client().await;
            clients.push(tokio::spawn(async move {
                ask(&mut client, "/narrow/delay/200", 0).await;
            }));
        }
        for client in clients {
            within(client).await.unwrap();
        }
        let mut connections = Vec::new();
        for _ in 0..40 {
            connections.extend(TcpStream::connect(self.gateway.address).await);
        }
    }

    /// One that stops in the middle of a head, one that speaks no TLS, one that resets all its streams.
    async fn hostile_clients(&self) {
        let half = (self.gateway.address, "GET / HTTP/1.1\r\nhost:");
        let no_tls = (self.https, "GET / HTTP/1.1\r\n\r\n");
        for (address, text) in [half, no_tls] {
            let mut client = RawConnection::connect(address).await;
            client.send(text).await;
            while client.some().await > 0 {}
        }
        let mut client = FrameConnection::connect_to(self.gateway.address).await;
        // `GET http://a/slow/delay/30000` in HPACK: given up before it is answered.
        let head = b"\x82\x86\x44\x11/slow/delay/30000\x41\x01a";
        let ping = frame(PING, 0, 0, b"12345678");
        for stream in (1..401).step_by(2) {
            let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, stream, head);
            frames.extend(&ping);
            // With the answer to the PING it has been taken up.
            let taken_up = client.answers(&frames).await;
            frames = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            frames.extend(&ping);
            if !taken_up || !client.answers(&frames).await {
                return;
            }
        }
        panic!("a client may reset as many streams as it likes");
    }
}

/// A request whose answer does not matter, of another client in each round, so that its limits are asked for again.
async fn ask(client: &mut TestClient, path: &str, round: usize) {
    let key = round.to_string();
    let fields = [("x-key", key.as_str()), ("x-bad", "1")];
    // Some are cut short; what matters is what is counted.
    let _ = within(client.try_send(Method::GET, path, &fields, "")).await;
}
