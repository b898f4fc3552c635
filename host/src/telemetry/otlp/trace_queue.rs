//! Where workers leave traces. They never wait: what the queue has no room for is dropped and counted.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Trace;

/// Traces that wait to be exported: a few KiB each.
const MAX_WAITING: usize = 2048;

/// The workers' end.
pub struct TraceQueue {
    traces: Sender<Box<Trace>>,
    /// Told when half of the room is taken: to wake a thread for each trace would cost its worker more than the trace.
    half_full: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl TraceQueue {
    /// A queue, its other end, and who tells that that should be looked at.
    pub(super) fn new(metrics: Arc<Metrics>) -> (Self, Receiver<Box<Trace>>, Arc<Notify>) {
        let (traces, received) = mpsc::channel(MAX_WAITING);
        let half_full = Arc::<Notify>::default();
        let queue = Self {
            traces,
            half_full: half_full.clone(),
            metrics,
        };
        (queue, received, half_full)
    }

    /// Takes a trace.
    pub(in crate::telemetry) fn push(&self, trace: Box<Trace>) {
        match self.traces.try_send(trace) {
            Ok(()) if self.traces.capacity() == MAX_WAITING / 2 => self.half_full.notify_one(),
            Ok(()) => {}
            Err(TrySendError::Full(trace)) => self.drop(&trace, "queue-full"),
            Err(TrySendError::Closed(trace)) => self.drop(&trace, "stopped"),
        }
    }

    fn drop(&self, trace: &Trace, reason: &'static str) {
        let (spans, omitted) = trace.size();
        self.metrics.traces.dropped(spans + omitted, reason);
    }
}
