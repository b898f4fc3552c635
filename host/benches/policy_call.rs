//! The cost of one `on-request` call, as the chain makes it: CPU time of the thread, page faults.
//!
//! Warm caches and nothing else on the thread: a lower bound for what a policy costs in traffic,
//! which `make bench` measures beside. With a case's name it runs that one alone:
//! `cargo bench --bench policy_call -- fresh`, under `strace -f -c` to count its system calls.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use portcullis::access_log::registry::AccessLogs;
use portcullis::capability::kv::KvSpaces;
use portcullis::client_body::ClientBody;
use portcullis::exchange::{Exchange, RequestHead};
use portcullis::head::Origin;
use portcullis::policy::chain::{self, RequestOutcome};
use portcullis::policy::loader::PolicyLoader;
use portcullis::policy_store::active::ActiveVersions;
use portcullis::snapshot::{Foundations, Snapshot};
use portcullis::telemetry::metrics::Metrics;
use portcullis::upstream::registry::UpstreamRegistry;
use portcullis::wasm::compile::compiler::CompilerSettings;
use portcullis::wasm::engine::Engines;
use portcullis::worker::{Shared, Worker};

const BATCHES: usize = 300;
const CALLS: usize = 100;
const CASES: [&str; 5] = [
    "fresh",
    "pooled",
    "limit-fresh",
    "limit-pooled",
    // With the wait for a redis-server beside it, which is no CPU time of the thread.
    "limit-redis",
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    // Not for others: `strace -f` would count its system calls, too.
    let redis = is_wanted("limit-redis").then(Redis::start);
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let worker = worker(redis.as_ref()).await;
        println!(
            "{:<14} {:>10} {:>10} {:>14}",
            "one call", "p10 µs", "p50 µs", "page faults"
        );
        let mut cases: Vec<Case> = CASES
            .iter()
            .enumerate()
            .filter(|(_, name)| is_wanted(name))
            .map(|(index, name)| Case::new(&worker, index, name))
            .collect();
        for case in &mut cases {
            case.batch(&worker).await;
        }
        cases.iter_mut().for_each(Case::clear);
        // Case after case within each round, so that the machine's moods hit them alike.
        for _ in 0..BATCHES {
            for case in &mut cases {
                case.batch(&worker).await;
            }
        }
        cases.iter_mut().for_each(Case::print);
        println!("calls {}", cases.len() * (BATCHES + 1) * CALLS);
    }));
}

struct Case {
    name: &'static str,
    exchange: Option<Box<Exchange>>,
    micros: Vec<f64>,
    faults: u64,
}

impl Case {
    fn new(worker: &Worker, index: usize, name: &'static str) -> Self {
        let revision = worker.revision();
        let route = revision
            .snapshot
            .routes
            .iter()
            .find(|route| route.index == index)
            .expect("the route")
            .clone();
        let request = RequestHead {
            method: http::Method::GET,
            target: "/".parse().expect("a path"),
            headers: headers(),
            accepts_trailers: false,
            upgrade: None,
        };
        let origin = Origin {
            address: ([127, 0, 0, 1], 1).into(),
            scheme: "http",
        };
        let exchange = Box::new(Exchange::new(
            "0".repeat(32),
            origin,
            route,
            request,
            Instant::now(),
        ));
        Self {
            name,
            exchange: Some(exchange),
            micros: Vec::new(),
            faults: 0,
        }
    }

    async fn batch(&mut self, worker: &Worker) {
        let revision = worker.revision();
        let mut exchange = self.exchange.take().expect("it is put back");
        exchange.deadline = Instant::now() + std::time::Duration::from_secs(60);
        let (cpu, faults) = usage();
        for _ in 0..CALLS {
            let (back, outcome) =
                chain::on_request(&revision, exchange, &mut ClientBody::Empty).await;
            assert!(matches!(outcome, RequestOutcome::Next));
            exchange = back;
        }
        let (cpu_after, faults_after) = usage();
        self.exchange = Some(exchange);
        self.micros
            .push((cpu_after - cpu) as f64 / 1000.0 / CALLS as f64);
        self.faults += faults_after - faults;
    }

    fn clear(&mut self) {
        self.micros.clear();
        self.faults = 0;
    }

    fn print(&mut self) {
        self.micros.sort_by(f64::total_cmp);
        let at = |share: usize| self.micros[self.micros.len() * share / 100];
        let faults = self.faults as f64 / (self.micros.len() * CALLS) as f64;
        println!(
            "{:<14} {:>10.2} {:>10.2} {:>14.4}",
            self.name,
            at(10),
            at(50),
            faults
        );
    }
}

/// A redis-server of the bench's own, on a free port; killed when it is dropped.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    fn start() -> Self {
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

async fn worker(redis: Option<&Redis>) -> Rc<Worker> {
    let noop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/policies/fixtures/noop.wasm");
    let noop = noop.display();
    let redis = redis.map_or(([127, 0, 0, 1], 1).into(), |redis| redis.address);
    let limits = "{ limits: [{ name: n, key: { header: x-api-key, or: client_address }, rate: 100000, per: 1s, burst: 100000 }] }";
    let text = format!(
        "
listeners: [{{ name: http, address: \"127.0.0.1:0\" }}]
redis: {{ main: {{ url: \"redis://{redis}\", deadline: 1s }} }}
upstreams: {{ none: {{ endpoints: [\"http://127.0.0.1:1\"] }} }}
policies:
  fresh: {{ component: \"file:{noop}\", isolation: per-request }}
  pooled: {{ component: \"file:{noop}\", isolation: pooled }}
  limit-fresh: {{ component: \"builtin:rate-limit\", isolation: per-request, grants: {{ kv: {{}}, metrics: {{}} }} }}
  limit-pooled: {{ component: \"builtin:rate-limit\", isolation: pooled, grants: {{ kv: {{}}, metrics: {{}} }} }}
  limit-redis: {{ component: \"builtin:rate-limit\", isolation: pooled, grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: main, prefix: \"rl:\", scripts: true }} }} }}
routes:
  - {{ name: a, match: {{ path_prefix: /a }}, upstream: none, policies: [{{ use: fresh, on_failure: closed, config: {{ header: x-api-key }} }}] }}
  - {{ name: b, match: {{ path_prefix: /b }}, upstream: none, policies: [{{ use: pooled, on_failure: closed, config: {{ header: x-api-key }} }}] }}
  - {{ name: c, match: {{ path_prefix: /c }}, upstream: none, policies: [{{ use: limit-fresh, on_failure: closed, config: {limits} }}] }}
  - {{ name: d, match: {{ path_prefix: /d }}, upstream: none, policies: [{{ use: limit-pooled, on_failure: closed, config: {limits} }}] }}
  - {{ name: e, match: {{ path_prefix: /e }}, upstream: none, policies: [{{ use: limit-redis, on_failure: closed, config: {limits} }}] }}
"
    );
    let config = portcullis_config::parse(&text, Path::new("bench.yaml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let metrics = Arc::new(Metrics::start().expect("metrics"));
    let compiling = CompilerSettings::new(env!("CARGO_BIN_EXE_portcullis"), None);
    let engines = Arc::new(Engines::start(compiling, 4_000).expect("engines"));
    let foundations = Foundations {
        access_logs: AccessLogs::default(),
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

fn headers() -> HeaderMap {
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

/// Nanoseconds of CPU and minor page faults of this thread so far.
fn usage() -> (u64, u64) {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let cpu_ns = u64::try_from(cpu.tv_sec * 1_000_000_000 + cpu.tv_nsec).expect("time passes");
    let stat =
        fs::read_to_string("/proc/thread-self/stat").expect("the kernel's account of this thread");
    // After the command's name, which may hold spaces: state is the third field, minflt the tenth.
    let fields = stat.rsplit(") ").next().unwrap_or(&stat);
    let faults = fields
        .split_whitespace()
        .nth(7)
        .and_then(|word| word.parse().ok())
        .expect("a number");
    (cpu_ns, faults)
}
