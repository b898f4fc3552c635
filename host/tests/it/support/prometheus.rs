//! A real Prometheus, which scrapes what the test tells it to.

use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::observability::repository;
use super::peers::{Peer, free_port};
use super::{TestClient, eventually};

/// Killed when it is dropped.
pub(crate) struct Prometheus {
    _peer: Peer,
    port: u16,
    _directory: TempDir,
}

impl Prometheus {
    /// Scrapes these targets twice a second as the job `portcullis`, with the rules of `observability/`.
    pub(crate) async fn start(targets: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(targets);
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .arg(path_argument("config.file", &directory, "prometheus.yml"))
            .arg(path_argument("storage.tsdb.path", &directory, "data"))
            .args([
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--log.level=error".into(),
            ])
            .stderr(Stdio::null());
        let started = Self {
            _peer: Peer::start(&mut command),
            port,
            _directory: directory,
        };
        eventually("Prometheus is ready", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                && started.get("/-/ready").await.is_some()
        })
        .await;
        started
    }

    /// What an expression gives now: its samples.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub(crate) async fn ask(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let form = format!("query={}", encoded(expression));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let mut client = TestClient::connect(([127, 0, 0, 1], self.port).into()).await;
        let answer = client
            .send(Method::POST, "/api/v1/query", &headers, form)
            .await
            .json();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let result = &answer["data"]["result"];
        // A scalar is a moment and a value, a vector a list of samples.
        if answer["data"]["resultType"] == "scalar" {
            return Ok(vec![Sample::of(result)]);
        }
        let samples = result.as_array().unwrap().iter();
        Ok(samples.map(|sample| Sample::of(&sample["value"])).collect())
    }

    /// The sum of what an expression gives now.
    pub(crate) async fn sum(&self, expression: &str) -> f64 {
        let samples = self.ask(expression).await.unwrap();
        samples.iter().map(|sample| sample.value).sum()
    }

    /// `data` of a call of its HTTP API.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let answer = self.get(path).await.unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["data"].take()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let mut client = TestClient::try_connect(([127, 0, 0, 1], self.port).into()).await?;
        let answer = client.send(Method::GET, path, &[], "").await;
        answer.status.is_success().then(|| answer.text())
    }
}

/// One series' value at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) value: f64,
}

impl Sample {
    fn of(moment_and_value: &Value) -> Self {
        let value = moment_and_value[1].as_str().unwrap();
        Self {
            value: value.parse().unwrap(),
        }
    }
}

fn config(targets: &[String]) -> String {
    let rules = repository("observability/prometheus/rules/*.yml");
    format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}
rule_files: ['{}']
scrape_configs: [{{ job_name: portcullis, static_configs: [{{ targets: {targets:?} }}] }}]
",
        rules.display()
    )
}

fn path_argument(name: &str, directory: &TempDir, file: impl AsRef<Path>) -> String {
    format!("--{name}={}", directory.path().join(file).display())
}

/// Everything but letters and digits, so that no rule of forms matters.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
