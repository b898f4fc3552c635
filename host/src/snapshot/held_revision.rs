//! How many revisions are in memory.

use std::sync::Arc;

use crate::telemetry::metrics::Metrics;

/// Counts a revision while it is in memory.
pub(super) struct HeldRevision(Arc<Metrics>);

impl HeldRevision {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.config.held_revision(1);
        Self(metrics)
    }
}

impl Drop for HeldRevision {
    fn drop(&mut self) {
        self.0.config.held_revision(-1);
    }
}
