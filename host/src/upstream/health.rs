//! Active health checks: asks the endpoints of an upstream whether they are well.
//!
//! Runs once for the process, beside the workers, which read the result in the endpoint's state. An
//! endpoint is healthy until it is proven otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::HealthCheck;
use tokio::task::AbortHandle;

use super::connection::Transport;
use super::endpoint_state::EndpointState;
use super::health_probe::Questioned;
use super::health_streak::HealthStreak;
use super::live_upstream::LiveUpstream;
use super::moment::Moment;

/// Of the interval, up and down: so that neither the endpoints of an upstream nor the gateways before
/// one are in step.
const JITTER: f64 = 0.1;

/// Asks for ever, and follows the endpoints as they come and go.
pub async fn watch(live: Arc<LiveUpstream>, check: HealthCheck, transport: Transport) {
    let (check, transport) = (Arc::new(check), Arc::new(transport));
    let mut changes = live.changes();
    let mut asked: HashMap<Arc<str>, Asking> = HashMap::new();
    loop {
        changes.mark_unchanged();
        let set = live.endpoints();
        asked.retain(|name, _| set.find(name).is_some());
        for member in &set.members {
            asked.entry(member.state.name.clone()).or_insert_with(|| {
                let target = Target {
                    upstream: live.name.clone(),
                    state: member.state.clone(),
                    questioned: Questioned::new(member, &check, transport.clone()),
                };
                Asking(tokio::spawn(ask(target, check.clone())).abort_handle())
            });
        }
        // An error means that the upstream is gone, and this task with it.
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A task that asks one endpoint; ends when dropped.
struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Target {
    upstream: Arc<str>,
    state: Arc<EndpointState>,
    questioned: Questioned,
}

async fn ask(target: Target, check: Arc<HealthCheck>) {
    let mut streak = HealthStreak::new(target.state.is_healthy());
    // The first question comes at any time within the interval.
    tokio::time::sleep(check.interval.mul_f64(rand::random())).await;
    loop {
        let probe = target.questioned.probe(&check.probe);
        let answer = match tokio::time::timeout(check.timeout, probe).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", check.timeout)),
        };
        if streak.record(answer.is_ok(), &check) {
            target.state.set_healthy(streak.is_healthy(), Moment::now());
            target.log(&answer);
        }
        tokio::time::sleep(jittered(check.interval, rand::random())).await;
    }
}

impl Target {
    fn log(&self, answer: &Result<(), String>) {
        let (upstream, endpoint) = (&*self.upstream, &*self.state.name);
        match answer {
            Ok(()) => tracing::info!(upstream, endpoint, "healthy again"),
            Err(reason) => tracing::warn!(upstream, endpoint, "unhealthy: {reason}"),
        }
    }
}

/// `random` is in 0 to 1.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_jittered_by_a_tenth() {
        let interval = Duration::from_secs(10);
        for (random, expected) in [(0.0, 9_000), (0.5, 10_000), (1.0, 11_000)] {
            let millis = jittered(interval, random).as_millis() as i64;
            assert!((millis - expected).abs() <= 1, "{millis}");
        }
    }
}
