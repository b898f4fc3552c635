//! Looks whether files of certificates have changed: on the control runtime, for all listeners.

use std::sync::Arc;
use std::time::Duration;

use super::ticket_keys::TicketKeys;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::worker::Shared;

/// How often. Their content is compared, so that any way to replace a file will do.
const INTERVAL: Duration = Duration::from_secs(2);

/// Takes over what has changed, as long as it is polled.
pub async fn watch(shared: Arc<Shared>, tickets: Arc<TicketKeys>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let snapshot = shared.snapshot.load_full();
        if snapshot
            .listeners
            .values()
            .all(|listener| listener.tls.is_none())
        {
            continue;
        }
        let (metrics, tickets) = (shared.metrics.clone(), tickets.clone());
        let refresh = move || refresh(&snapshot, &metrics, &tickets);
        // Fails only where the runtime ends.
        let _ = tokio::task::spawn_blocking(refresh).await;
    }
}

fn refresh(snapshot: &Snapshot, metrics: &Metrics, tickets: &TicketKeys) {
    for (name, listener) in &snapshot.listeners {
        let Some(tls) = &listener.tls else { continue };
        match tls.refresh(tickets) {
            Ok(false) => {}
            Ok(true) => {
                metrics.downstream.certificates_reloaded(name, "ok");
                tracing::info!("listener {name:?}: the changed certificates serve");
            }
            Err(error) => {
                metrics.downstream.certificates_reloaded(name, "rejected");
                tracing::error!("listener {name:?}: tls.{error}; the old certificates serve on");
            }
        }
    }
}
