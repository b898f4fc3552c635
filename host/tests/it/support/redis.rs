//! Real redis-servers of the test's own: alone, as Sentinels, in a cluster.

use std::ffi::OsString;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peers::free_port;
use super::tls::Authority;
use super::{eventually, signal, within};

/// Killed when it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl RedisServer {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    /// On that port, such as the one that another server has left.
    pub(crate) async fn start_on(port: u16) -> Self {
        Self::start_with(port, &[]).await
    }

    /// The same with further settings, as the command line takes them.
    pub(crate) async fn start_with(port: u16, settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), port, settings).await
    }

    /// The same with the data of another server.
    pub(crate) async fn start_in(directory: TempDir, port: u16, settings: &[&str]) -> Self {
        let settings = settings.iter().map(OsString::from).collect();
        let server = Self::spawn(directory, port, settings);
        eventually("redis-server answers", async || answers(port).await).await;
        server
    }

    /// It also speaks TLS, on the port that is returned, as `redis.pem` of that authority, and takes only clients
    /// whose certificate the authority has signed.
    pub(crate) async fn start_secured(authority: &Authority, settings: &[&str]) -> (Self, u16) {
        let (port, tls_port) = (free_port(), free_port());
        let mut all = secured(authority, tls_port);
        all.extend(settings.iter().map(OsString::from));
        let server = Self::spawn(tempfile::tempdir().unwrap(), port, all);
        eventually("redis-server answers", async || answers(port).await).await;
        (server, tls_port)
    }

    fn spawn(directory: TempDir, port: u16, settings: Vec<OsString>) -> Self {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        Self {
            child,
            port,
            directory,
        }
    }

    /// A Sentinel that watches `master`, a port, under the name `mymaster`, and needs no other one to decide.
    pub(crate) async fn start_sentinel(master: u16, settings: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 5000\n{settings}\n"
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        eventually("the Sentinel answers", async || answers(port).await).await;
        Self {
            child,
            port,
            directory,
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to a command, as redis-cli prints it.
    pub(crate) async fn ask(&self, command: &[&str]) -> String {
        ask(self.port, command).await
    }

    /// The connections that the gateway has with it: lines of CLIENT LIST.
    pub(crate) async fn gateways(&self) -> Vec<String> {
        let clients = self.ask(&["CLIENT", "LIST", "TYPE", "normal"]).await;
        let others = |line: &&str| !line.contains("cmd=client");
        let clients = clients.lines().filter(|line| !line.is_empty());
        clients.filter(others).map(str::to_owned).collect()
    }

    /// It keeps its connections, takes new ones and answers nothing.
    pub(crate) fn stall(&self) {
        signal(self.child.id(), "STOP");
    }

    /// It answers again.
    pub(crate) fn resume(&self) {
        signal(self.child.id(), "CONT");
    }

    /// It is gone at once; its data stays.
    pub(crate) fn kill(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    fn end(&mut self) {
        // Gone already: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Servers of one cluster, each a master with a third of the slots.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

impl RedisCluster {
    /// Three nodes on free ports.
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            // The bus, between the nodes, is on a port of its own.
            let bus = free_port().to_string();
            let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            let node = RedisServer::start_with(free_port(), &settings).await;
            nodes.push((node, bus));
        }
        let (first, _) = &nodes[0];
        for (number, (node, bus)) in nodes.iter().enumerate() {
            let from = (SLOTS * number).div_ceil(nodes.len()).to_string();
            let to = ((SLOTS * (number + 1)).div_ceil(nodes.len()) - 1).to_string();
            let added = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]).await;
            assert_eq!(added, "OK");
            let port = node.port().to_string();
            let met = first
                .ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])
                .await;
            assert_eq!(met, "OK");
        }
        let nodes: Vec<RedisServer> = nodes.into_iter().map(|(node, _)| node).collect();
        for node in &nodes {
            eventually("the cluster is whole", async || {
                let info = node.ask(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        Self { nodes }
    }

    /// For the config: `cluster`.
    pub(crate) fn config(&self) -> String {
        format!("{{ nodes: ['{}'] }}", self.nodes[0].url())
    }

    /// The place among the nodes of the one that has this slot.
    pub(crate) fn owner(&self, slot: &str) -> usize {
        let slot: usize = slot.parse().unwrap();
        slot * self.nodes.len() / SLOTS
    }
}

fn secured(authority: &Authority, tls_port: u16) -> Vec<OsString> {
    authority.issue("redis", &["127.0.0.1", "localhost"]);
    let file = |name: &str| authority.path(name).into_os_string();
    vec![
        "--tls-port".into(),
        tls_port.to_string().into(),
        "--tls-cert-file".into(),
        file("redis.pem"),
        "--tls-key-file".into(),
        file("redis.key"),
        "--tls-ca-cert-file".into(),
        file("ca.pem"),
    ]
}

/// What the server on that port answers to a command, as redis-cli prints it.
pub(crate) async fn ask(port: u16, command: &[&str]) -> String {
    let output = tokio::process::Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(command)
        .output();
    let output = within(output).await.expect("redis-cli is on the path");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return false;
    };
    // An error, such as that a password is missing, is an answer as well.
    let mut first = [0; 1];
    stream.write_all(b"PING\r\n").await.is_ok() && stream.read_exact(&mut first).await.is_ok()
}
