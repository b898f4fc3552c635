//! A gateway, an upstream, a client: each in a line, so that tests read as sentences.

pub(crate) mod bombs;
pub(crate) mod busy_gateway;
pub(crate) mod collector;
pub(crate) mod controlled;
pub(crate) mod faulty_proxy;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod load;
pub(crate) mod name_server;
pub(crate) mod observability;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod raw;
pub(crate) mod redis;
mod redis_counts;
pub(crate) mod text_guest;
pub(crate) mod tls;
pub(crate) mod web_servers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mock_service::MockService;
use portcullis::server::{self, Running};
use portcullis::upstream::status::UpstreamStatus;
use portcullis::wasm::compile::compiler::CompilerSettings;
use portcullis::wasm::engine::Engines;
use tokio::net::TcpStream;

/// Far more than anything takes: who waits longer waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// The future's output; panics if it takes for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("done in time")
}

/// Returns once the condition holds; panics if it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns when the gateway has closed all connections to `upstream`; panics if that takes a second from now,
/// where a client has just gone.
pub(crate) async fn freed_within_a_second(upstream: &MockService) {
    let left = Instant::now();
    upstream.wait_for_open_connections(0).await;
    let took = left.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// Sends a signal such as `TERM` to a process that the test has started.
fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The sum of a metric's series that have all these labels.
pub(crate) fn metric(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    let series = page.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    let chosen = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    chosen
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// One pair of engines for all tests of the process: each reserves terabytes of addresses.
fn engines() -> Arc<Engines> {
    static ENGINES: OnceLock<Arc<Engines>> = OnceLock::new();
    ENGINES
        .get_or_init(|| Arc::new(Engines::start(compiling(Some(cache())), 4_000).unwrap()))
        .clone()
}

/// By the real binary, whatever the process of the tests is.
pub(crate) fn compiling(cache: Option<PathBuf>) -> CompilerSettings {
    if let Some(cache) = &cache {
        std::fs::create_dir_all(cache).unwrap();
    }
    CompilerSettings::new(env!("CARGO_BIN_EXE_portcullis"), cache)
}

/// Compiled components are kept between runs of the tests.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// The path of a built component, such as `fixtures/probe` or `require-header`.
pub(crate) fn component(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/policies")
        .join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `make policies`",
        path.display()
    );
    path
}

/// A gateway on a free port.
pub(crate) struct TestGateway {
    running: Running,
    /// Of its one listener.
    pub(crate) address: SocketAddr,
}

impl TestGateway {
    /// Serves `config` (YAML without `listeners` and `metrics`) with one worker.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_on("", config).await
    }

    /// The same with a listener that has further keys, such as `tls: { … }`.
    pub(crate) async fn start_on(listener: &str, config: &str) -> Self {
        let text = complete_on(listener, config);
        let config = portcullis_config::parse(&text, Path::new("test.yaml"))
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let running = server::start(&config, engines())
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let address = running.addresses[0].1;
        Self { running, address }
    }

    /// The same, and it pushes its metrics so often.
    pub(crate) async fn start_pushing(interval: &str, config: &str) -> Self {
        let (address, push) = (
            "\"127.0.0.1:0\"",
            format!("push: {{ interval: {interval} }}"),
        );
        let text = complete(config).replacen(
            &format!("metrics: {{ address: {address},"),
            &format!("metrics: {{ address: {address}, {push},"),
            1,
        );
        assert!(text.contains(&push));
        let config = portcullis_config::parse(&text, Path::new("test.yaml"))
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let running = server::start(&config, engines()).await.unwrap();
        let address = running.addresses[0].1;
        Self { running, address }
    }

    /// Why `config` is refused, one line a problem.
    pub(crate) async fn refusal(config: &str) -> String {
        Self::refusal_on("", config).await
    }

    /// The same with a listener that has further keys.
    pub(crate) async fn refusal_on(listener: &str, config: &str) -> String {
        let text = complete_on(listener, config);
        let config = match portcullis_config::parse(&text, Path::new("test.yaml")) {
            Ok(config) => config,
            Err(errors) => return errors.to_string(),
        };
        match server::check(&config, engines()).await {
            Err(server::StartError::Config(problems)) => {
                portcullis_config::ConfigErrors::new("test.yaml", problems).to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Swaps in another config; the problems if it is refused.
    pub(crate) async fn reload(
        &self,
        config: &str,
    ) -> Result<u64, Vec<portcullis_config::Problem>> {
        let text = complete(config);
        let config = portcullis_config::parse(&text, Path::new("test.yaml"))
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        self.running.reload(&config).await
    }

    /// Swaps in several configs, one after the other, once a client is connected; `config` is given
    /// a number that is new each time.
    pub(crate) async fn reload_in_use(&self, config: impl Fn(u32) -> String) {
        eventually("a client is there", async || {
            metric(&self.metrics().await, "portcullis_connections_active", &[]) > 0.0
        })
        .await;
        for number in 11..15 {
            self.reload(&config(number)).await.unwrap();
        }
    }

    /// Upstreams and their endpoints at this moment.
    pub(crate) fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.running.upstreams()
    }

    /// Swaps in another config with a listener that has further keys.
    pub(crate) async fn reload_on(
        &self,
        listener: &str,
        config: &str,
    ) -> Result<u64, Vec<portcullis_config::Problem>> {
        let text = complete_on(listener, config);
        let config = portcullis_config::parse(&text, Path::new("test.yaml"))
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        self.running.reload(&config).await
    }

    /// A GET on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// A GET with header fields.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.client()
            .await
            .send(Method::GET, path, headers, "")
            .await
    }

    /// A POST on a connection of its own.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.client()
            .await
            .send(Method::POST, path, &[], body)
            .await
    }

    /// A connection that is kept.
    pub(crate) async fn client(&self) -> TestClient {
        TestClient::connect(self.address).await
    }

    /// The page of the metrics listener.
    pub(crate) async fn metrics(&self) -> String {
        let address = self
            .running
            .metrics_address
            .expect("tests configure a metrics listener");
        let answer = TestClient::connect(address)
            .await
            .send(Method::GET, "/metrics", &[], "")
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.text()
    }

    /// Returns once a metric's series with these labels add up to `value`: a request is counted when
    /// its response's body is dropped, which can be after the client has read it.
    pub(crate) async fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} {labels:?} is {value}"), async || {
            metric(&self.metrics().await, name, labels) == value
        })
        .await;
    }

    /// Where `/readyz` is.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.running
            .metrics_address
            .expect("tests configure a metrics listener")
    }

    /// Drains and stops.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

pub(crate) fn complete(config: &str) -> String {
    complete_on("", config)
}

fn complete_on(listener: &str, config: &str) -> String {
    let workers = if config.contains("\nworkers:") || config.starts_with("workers:") {
        ""
    } else {
        "workers: 1\n"
    };
    let log = if config.contains("\nlog:") || config.starts_with("log:") {
        ""
    } else {
        "log: { format: human }\n"
    };
    format!(
        "listeners: [{{ name: http, address: \"127.0.0.1:0\", {listener} }}]\nmetrics: {{ address: \"127.0.0.1:0\", max_age: 0s }}\n{log}{workers}{config}"
    )
}

/// One kept connection.
pub(crate) struct TestClient {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

impl TestClient {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address).await
    }

    /// The same, where nobody may listen any more.
    pub(crate) async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let authority = address.to_string();
        Some(Self { sender, authority })
    }

    /// Speaks over that connection to `address`.
    pub(crate) async fn over(stream: TcpStream, address: SocketAddr) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            authority: address.to_string(),
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// The same, where the answer may be cut short.
    pub(crate) async fn try_send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> hyper::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", &self.authority);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.as_ref().to_vec())).unwrap();
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A field's value, empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
