//! Keeps the addresses of an endpoint's name up to date.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Endpoint;
use tokio::sync::mpsc;

use super::dns::{self, Resolver};
use super::live_upstream::LiveUpstream;

/// However short an answer says that it holds, and however long: a name server is not to be asked
/// more often, and a service that moves is to be found within this time.
const MIN_REFRESH: Duration = Duration::from_secs(1);
const MAX_REFRESH: Duration = Duration::from_mins(5);
/// After a failed lookup: twice as long each time, up to this.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Looks up the name of the endpoint at `place` of the config, again and again. A lookup that fails
/// leaves the addresses as they are. Drops `first` after the first lookup.
pub async fn keep_resolved(
    live: Arc<LiveUpstream>,
    place: usize,
    endpoint: Endpoint,
    resolver: Resolver,
    first: mpsc::Sender<()>,
) {
    let mut first = Some(first);
    let mut failures = 0;
    loop {
        let wait = match resolver.lookup(&endpoint.host).await {
            Ok(found) => {
                if failures > 0 {
                    tracing::info!(
                        upstream = &*live.name,
                        host = endpoint.host,
                        "resolved again"
                    );
                }
                failures = 0;
                let endpoints = dns::endpoints(&endpoint.host, &found.addresses, endpoint.port);
                live.place(place, endpoints);
                found.valid_for.clamp(MIN_REFRESH, MAX_REFRESH)
            }
            Err(error) => {
                tracing::warn!(
                    upstream = &*live.name,
                    host = endpoint.host,
                    "lookup: {error}"
                );
                failures += 1;
                retry_after(failures)
            }
        };
        drop(first.take());
        tokio::time::sleep(wait).await;
    }
}

fn retry_after(failures: u32) -> Duration {
    let doubled = MIN_REFRESH.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(MAX_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_lookups_are_retried_less_and_less_often() {
        let waits: Vec<u64> = (1..=7).map(|n| retry_after(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(retry_after(u32::MAX), MAX_RETRY);
    }
}
