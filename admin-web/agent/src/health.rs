//! Whether a service is well: asks it again and again, and judges by the answers.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::stack::{Health, Probe};

/// So many failures in a row make a healthy service unhealthy: one may be bad luck.
const FAILURES: u32 = 3;

/// How soon a service that starts is asked again: whoever waits for it sees that it is there.
const START_INTERVAL: Duration = Duration::from_millis(100);

/// What is known of a service's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was never healthy.
    Unknown,
    Healthy,
    Unhealthy,
}

/// Asks while it is there.
#[derive(Debug)]
pub(crate) struct HealthWatch {
    pub(crate) verdict: watch::Receiver<Verdict>,
    task: JoinHandle<()>,
}

impl HealthWatch {
    /// Asks from now on; without a health check, it never has a verdict.
    pub(crate) fn start(health: Option<Health>) -> Self {
        let (tell, verdict) = watch::channel(Verdict::Unknown);
        let task = tokio::spawn(async move {
            match health {
                Some(health) => ask(&health, &tell).await,
                None => tell.closed().await,
            }
        });
        Self { verdict, task }
    }
}

impl Drop for HealthWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(health: &Health, tell: &watch::Sender<Verdict>) {
    let mut judge = Judge::default();
    loop {
        let answer = timeout(health.timeout, probe(&health.probe)).await;
        let verdict = judge.judge(matches!(answer, Ok(Ok(true))));
        tell.send_if_modified(|told| std::mem::replace(told, verdict) != verdict);
        let pause = match verdict {
            Verdict::Unknown => health.interval.min(START_INTERVAL),
            _ => health.interval,
        };
        sleep(pause).await;
    }
}

/// Whether it answered well.
async fn probe(probe: &Probe) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let (authority, path) = match probe {
        Probe::Tcp(address) => {
            TcpStream::connect(address).await?;
            return Ok(true);
        }
        Probe::Http { authority, path } => (authority, path),
    };
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", authority)
        .header("user-agent", "portcullis-agent")
        .body(Empty::<Bytes>::new())?;
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        ended = connection => {
            ended?;
            return Ok(false);
        }
    };
    Ok(response.status().is_success())
}

/// Makes a verdict of answers.
#[derive(Debug, Default)]
struct Judge {
    was_healthy: bool,
    failures: u32,
}

impl Judge {
    fn judge(&mut self, is_well: bool) -> Verdict {
        if is_well {
            self.was_healthy = true;
            self.failures = 0;
            return Verdict::Healthy;
        }
        self.failures = self.failures.saturating_add(1);
        match self.was_healthy {
            false => Verdict::Unknown,
            true if self.failures < FAILURES => Verdict::Healthy,
            true => Verdict::Unhealthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_unhealthy_after_three_failures_in_a_row() {
        use Verdict::{Healthy, Unhealthy, Unknown};
        let mut judge = Judge::default();
        let table = [
            (false, Unknown),
            (false, Unknown),
            (false, Unknown),
            (false, Unknown),
            (true, Healthy),
            (false, Healthy),
            (false, Healthy),
            (true, Healthy),
            (false, Healthy),
            (false, Healthy),
            (false, Unhealthy),
            (false, Unhealthy),
            (true, Healthy),
        ];
        for (index, (is_well, verdict)) in table.into_iter().enumerate() {
            assert_eq!(judge.judge(is_well), verdict, "{index}");
        }
    }
}
