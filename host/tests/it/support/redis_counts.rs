//! What a redis-server has been asked to do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::redis::RedisServer;

impl RedisServer {
    /// How many scripts it has run.
    pub(crate) async fn scripts(&self) -> u64 {
        let calls = self.calls().await;
        let scripts = calls.iter().filter(|(name, _)| name.starts_with("eval"));
        scripts.map(|(_, count)| count).sum()
    }

    /// How many commands it has run, also from scripts; those of this look are not among them.
    pub(crate) async fn commands(&self) -> u64 {
        let calls = self.calls().await;
        let others = calls.iter().filter(|(name, _)| name != "info");
        others.map(|(_, count)| count).sum()
    }

    /// INFO commandstats: each command and how often it was called.
    async fn calls(&self) -> Vec<(String, u64)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port()))
            .await
            .unwrap();
        stream.write_all(b"INFO commandstats\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let call = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (count, _) = rest.split_once(',')?;
            Some((name.to_owned(), count.parse().unwrap()))
        };
        text.lines().filter_map(call).collect()
    }
}
