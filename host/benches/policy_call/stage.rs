//! The gateway's part in the bench: one worker with a route for each case, and a redis-server.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use portcullis::access_log::registry::AccessLogs;
use portcullis::capability::kv::KvSpaces;
use portcullis::policy::loader::PolicyLoader;
use portcullis::policy_store::active::ActiveVersions;
use portcullis::snapshot::{Foundations, Snapshot};
use portcullis::telemetry::metrics::Metrics;
use portcullis::telemetry::otlp::Exports;
use portcullis::upstream::registry::UpstreamRegistry;
use portcullis::wasm::compile::compiler::CompilerSettings;
use portcullis::wasm::engine::Engines;
use portcullis::worker::{Shared, Worker};

use crate::case::CASES;

/// A redis-server of the bench's own, on a free port; killed when it is dropped.
pub(crate) struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its number");
        drop(free);
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { child, address }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Gone already: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker whose routes are the cases, in their order.
pub(crate) async fn worker(redis: Option<&Redis>) -> Rc<Worker> {
    let redis = redis.map_or(([127, 0, 0, 1], 1).into(), |redis| redis.address);
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/policies/fixtures");
        format!(
            "file:{}",
            folder.join(name).with_extension("wasm").display()
        )
    };
    let (noop, hooks) = (fixture("noop"), fixture("noop-hooks"));
    let kv = "kv: {}, metrics: {}";
    let text = format!(
        "
listeners: [{{ name: http, address: \"127.0.0.1:0\" }}]
redis: {{ main: {{ url: \"redis://{redis}\", deadline: 1s }} }}
upstreams: {{ none: {{ endpoints: [\"http://127.0.0.1:1\"] }} }}
policies:
  fresh: {{ component: \"{noop}\", isolation: per-request }}
  pooled: {{ component: \"{noop}\", isolation: pooled }}
  hooks-fresh: {{ component: \"{hooks}\", isolation: per-request }}
  hooks-pooled: {{ component: \"{hooks}\", isolation: pooled }}
  limit-fresh: {{ component: \"builtin:rate-limit\", isolation: per-request, grants: {{ {kv} }} }}
  limit-pooled: {{ component: \"builtin:rate-limit\", isolation: pooled, grants: {{ {kv} }} }}
  limit-redis: {{ component: \"builtin:rate-limit\", isolation: pooled, grants: {{ {kv}, redis: {{ binding: main, prefix: \"rl:\", scripts: true }} }} }}
routes:
{}",
        routes()
    );
    let config = portcullis_config::parse(&text, Path::new("bench.yaml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let metrics = Arc::new(Metrics::start().expect("metrics"));
    let compiling = CompilerSettings::new(env!("CARGO_BIN_EXE_portcullis"), None);
    let engines = Arc::new(Engines::start(compiling, 4_000).expect("engines"));
    let foundations = Foundations {
        access_logs: AccessLogs::default(),
        exports: Exports::default(),
        loader: PolicyLoader::new(engines),
        kv: KvSpaces::default(),
        fault_circuits: Arc::default(),
        redis: Arc::default(),
        metrics: metrics.clone(),
        upstreams: Arc::new(UpstreamRegistry::default()),
        tickets: Arc::default(),
        workers: 1,
    };
    let snapshot = Snapshot::build(&config, &ActiveVersions::default(), 1, &foundations)
        .await
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    foundations.kv.settle(&snapshot.kv_quotas);
    Rc::new(Worker::new(
        0,
        Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
            permits: Arc::default(),
            recent_faults: Arc::default(),
        }),
    ))
}

/// One for each case, with the policies that it names.
fn routes() -> String {
    let mut routes = String::new();
    for case in &CASES {
        let config = match case.policy.starts_with("limit") {
            true => {
                "{ limits: [{ name: n, key: { header: x-api-key, or: client_address }, rate: 100000, per: 1s, burst: 100000 }] }"
            }
            false => "{ header: x-api-key }",
        };
        let used = format!(
            "{{ use: {}, on_failure: closed, config: {config} }}",
            case.policy
        );
        let (name, policies) = (case.name, vec![used; case.uses].join(", "));
        routes += &format!(
            "  - {{ name: {name}, match: {{ path_prefix: /{name} }}, upstream: none, policies: [{policies}] }}\n"
        );
    }
    routes
}

/// Twelve fields, as a browser sends them.
pub(crate) fn headers() -> HeaderMap {
    let fields = [
        ("host", "localhost"),
        ("user-agent", "Mozilla/5.0"),
        ("accept", "*/*"),
        ("accept-language", "en"),
        ("accept-encoding", "gzip"),
        ("x-api-key", "alice"),
        ("cookie", "session=0123456789abcdef"),
        ("referer", "http://example.com/"),
        ("cache-control", "no-cache"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "0123456789abcdef0123456789abcdef"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}
