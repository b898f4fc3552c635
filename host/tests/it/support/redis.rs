//! A real redis-server of the test's own.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peers::free_port;
use super::{eventually, signal};

/// Killed when it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisServer {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    /// On that port, such as the one that another server has left.
    pub(crate) async fn start_on(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        eventually("redis-server answers", async || answers(port).await).await;
        Self {
            child,
            port,
            _directory: directory,
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

    /// It keeps its connections, takes new ones and answers nothing.
    pub(crate) fn stall(&self) {
        signal(self.child.id(), "STOP");
    }

    /// It answers again.
    pub(crate) fn resume(&self) {
        signal(self.child.id(), "CONT");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Gone already: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return false;
    };
    let mut pong = [0; 7];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut pong).await.is_ok()
        && &pong == b"+PONG\r\n"
}
