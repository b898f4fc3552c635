//! The real binary, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use http::Method;
use tempfile::TempDir;

use super::{TestClient, cache, complete, eventually, metric, signal};

/// A `portcullis run` with its config and its log. Killed when it is dropped.
pub(crate) struct Portcullis {
    child: Child,
    log: Arc<Mutex<String>>,
    config: PathBuf,
    directory: TempDir,
    /// Of its one listener.
    pub(crate) address: SocketAddr,
    /// Where `/metrics` and `/readyz` are.
    pub(crate) metrics_address: SocketAddr,
}

impl Portcullis {
    /// Serves `config` (YAML without `listeners` and `metrics`) with one worker.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_as(command(&[]), config).await
    }

    /// The same, with so many file descriptors: `hard` or `soft:hard`.
    pub(crate) async fn start_with_files(config: &str, files: &str) -> Self {
        let mut limited = Command::new("prlimit");
        limited
            .args([
                &format!("--nofile={files}"),
                env!("CARGO_BIN_EXE_portcullis"),
            ])
            .env_remove("RUST_LOG");
        Self::start_as(limited, config).await
    }

    /// The same, with a clock that tells another time of day, such as `+1h`.
    pub(crate) async fn start_with_clock(config: &str, offset: &str) -> Self {
        // What faketime sets for its child, without faketime between the gateway and its signals.
        let shown = Command::new("faketime")
            .args(["-m", "--exclude-monotonic", "-f", offset, "printenv"])
            .output()
            .expect("faketime is on the path");
        let mut command = command(&[]);
        for line in String::from_utf8(shown.stdout).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap_or_default();
            if ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"].contains(&name) {
                command.env(name, value);
            }
        }
        Self::start_as(command, config).await
    }

    /// The same, with `RUST_LOG` in the environment.
    pub(crate) async fn start_with_filter(config: &str, filter: &str) -> Self {
        let mut command = command(&[]);
        command.env("RUST_LOG", filter);
        Self::start_as(command, config).await
    }

    /// The same, with what it writes to standard output.
    pub(crate) async fn start_piped(config: &str) -> (Self, ChildStdout) {
        let mut command = command(&[]);
        command.stdout(Stdio::piped());
        let mut started = Self::start_as(command, config).await;
        let output = started.child.stdout.take().unwrap();
        (started, output)
    }

    async fn start_as(command: Command, config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        std::fs::write(&path, complete(config)).unwrap();
        Self::run(command, path, directory).await
    }

    /// Serves the complete config at `path`, which is in `directory`.
    pub(crate) async fn start_at(path: PathBuf, directory: TempDir) -> Self {
        Self::run(command(&[]), path, directory).await
    }

    async fn run(mut command: Command, path: PathBuf, directory: TempDir) -> Self {
        let mut child = command
            .args(["run", "--config"])
            .arg(&path)
            .arg("--cache")
            .arg(cache())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<String>>::default();
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *written.lock().unwrap() += &format!("{line}\n");
            }
        });
        let mut started = Self {
            child,
            log,
            config: path,
            directory,
            address: ([0; 4], 0).into(),
            metrics_address: ([0; 4], 0).into(),
        };
        started.wait_for_log("metrics on http://").await;
        started.address = started.announced("serves on http://");
        started.metrics_address = started.announced("metrics on http://");
        started
    }

    /// A connection that is kept.
    pub(crate) async fn client(&self) -> TestClient {
        TestClient::connect(self.address).await
    }

    /// Changes the config's file.
    pub(crate) fn write_config(&self, config: &str) {
        std::fs::write(&self.config, complete(config)).unwrap();
    }

    /// Where the config and what belongs to it lies.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the config is.
    pub(crate) fn config_path(&self) -> &Path {
        &self.config
    }

    /// The page of the metrics listener.
    pub(crate) async fn metrics(&self) -> String {
        let mut client = TestClient::connect(self.metrics_address).await;
        client.send(Method::GET, "/metrics", &[], "").await.text()
    }

    /// Returns once a metric's series with these labels add up to `value`.
    pub(crate) async fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} {labels:?} is {value}"), async || {
            metric(&self.metrics().await, name, labels) == value
        })
        .await;
    }

    /// Its number among the processes.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many files, sockets included, it has open.
    pub(crate) fn open_files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id()));
        files.unwrap().count()
    }

    /// A figure of `/proc/PID/status`, such as `VmRSS` (in KiB) or `Threads`.
    pub(crate) fn figure(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.unwrap().trim_start_matches(':').trim();
        figure.trim_end_matches(" kB").parse().unwrap()
    }

    /// The processes that it has started and not yet reaped.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id()));
        let lists = tasks.into_iter().flatten().flatten().map(|task| {
            let children = std::fs::read_to_string(task.path().join("children"));
            children.unwrap_or_default()
        });
        lists
            .flat_map(|list| {
                let children = list.split_whitespace().map(|child| child.parse().unwrap());
                children.collect::<Vec<u32>>()
            })
            .collect()
    }

    /// A child that has computed for half a second, once there is one.
    pub(crate) async fn busy_child(&self) -> u32 {
        const BUSY: u64 = 50;
        let mut found = None;
        eventually("a child is busy", async || {
            let mut children = self.children().into_iter();
            found = children.find(|child| ticks(*child).is_some_and(|ticks| ticks >= BUSY));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// A figure of its memory, such as `VmHWM`, in MiB.
    pub(crate) fn memory_mib(&self, figure: &str) -> usize {
        self.figure(figure) >> 10
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns once the log has that text.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), async || {
            self.log().contains(text)
        })
        .await;
    }

    /// Returns once it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    fn announced(&self, before: &str) -> SocketAddr {
        let log = self.log();
        let (_, rest) = log.split_once(before).unwrap();
        let end = rest.find(['/', '"', '\n']).unwrap();
        rest[..end].parse().unwrap()
    }
}

impl Drop for Portcullis {
    fn drop(&mut self) {
        // Gone already: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
        }
    }
}

/// The processor time that a process has used, in ticks of 10 ms; `None` if there is no such process.
fn ticks(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let used = fields.split(' ').skip(11).take(2);
    Some(used.map(|field| field.parse::<u64>().unwrap()).sum())
}

/// Returns once that process is gone, reaped and all.
pub(crate) async fn gone(process: u32) {
    let place = format!("/proc/{process}");
    eventually("the process is gone", async || !Path::new(&place).exists()).await;
}

/// The binary with these arguments; the environment says nothing of logs.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Finished {
    Finished::from(command(arguments).output().unwrap())
}

/// Runs a command with `--config` on a file with that text, in a directory of its own.
pub(crate) fn run_with_config(name: &str, config: &str, cache: &Path) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("gateway.yaml"), config).unwrap();
    let mut command = command(&[name, "--config", "gateway.yaml", "--cache"]);
    Finished::from(command.arg(cache).current_dir(&directory).output().unwrap())
}

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
