//! Takes traces from their queue and sends them to the collector, some hundred spans at a time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, watch};

use super::collector::{Collector, ExportError, Signal};
use super::complaint::Complaint;
use super::resource::{self, SCHEMA_URL};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::{self, Trace};

/// How long a trace may wait for others.
const INTERVAL: Duration = Duration::from_secs(1);
/// Spans of one export; the last trace may bring some more.
const BATCH: usize = 512;
/// How often a batch is sent, at most.
const MAX_TRIES: u32 = 5;
/// The first wait between two tries, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// However long the collector asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The control side's end of a queue.
pub(super) struct TraceExporter {
    pub(super) traces: Receiver<Box<Trace>>,
    pub(super) half_full: Arc<Notify>,
    /// True: what waits is sent once more, and then it ends.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) collector: Collector,
    pub(super) resource: Resource,
    pub(super) metrics: Arc<Metrics>,
    pub(super) complaint: Complaint,
}

impl TraceExporter {
    /// Runs until nobody holds the queue any more, or it is closed.
    pub(super) async fn run(mut self) {
        while self.wait().await.is_continue() {
            self.export().await;
        }
        // Whoever comes now is told that it is too late.
        self.traces.close();
        self.export().await;
    }

    async fn wait(&mut self) -> ControlFlow<()> {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = self.half_full.notified() => {}
            () = closed(&mut self.closing) => {}
        }
        if self.traces.is_closed() || *self.closing.borrow() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    async fn export(&mut self) {
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                return;
            }
            self.deliver(batch).await;
        }
    }

    fn take_batch(&mut self) -> Vec<Span> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Ok(trace) = self.traces.try_recv()
        {
            let (_, omitted) = trace.size();
            self.metrics.traces.dropped(omitted, "span-limit");
            batch.extend(trace::render(&trace));
        }
        batch
    }

    async fn deliver(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let message = Bytes::from(self.message(spans).encode_to_vec());
        for tried in 1.. {
            match self.collector.send(Signal::Traces, message.clone()).await {
                Ok(answer) => return self.delivered(count, answer),
                Err(ExportError::Refused(why)) => return self.give_up(count, "refused", &why),
                Err(ExportError::Later(asked, why)) => {
                    if tried == MAX_TRIES || *self.closing.borrow() {
                        return self.give_up(count, "undelivered", &why);
                    }
                    self.complain(&why);
                    self.back_off(tried, asked).await;
                }
            }
        }
    }

    fn message(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let of_gateway = ScopeSpans {
            scope: Some(resource::scope()),
            spans,
            schema_url: SCHEMA_URL.to_owned(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![of_gateway],
                schema_url: SCHEMA_URL.to_owned(),
            }],
        }
    }

    fn delivered(&mut self, count: u64, answer: Bytes) {
        if self.complaint.withdraw() {
            tracing::info!("the collector takes traces again");
        }
        // An answer that is none says nothing of spans that were not taken.
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let partly = answer.partial_success.unwrap_or_default();
        let rejected = u64::try_from(partly.rejected_spans).unwrap_or(0).min(count);
        self.metrics.traces.exported(count - rejected);
        if rejected > 0 {
            self.give_up(rejected, "refused", &partly.error_message);
        }
    }

    fn give_up(&mut self, spans: u64, reason: &'static str, why: &str) {
        self.metrics.traces.dropped(spans, reason);
        self.complain(why);
    }

    fn complain(&mut self, why: &str) {
        if self.complaint.is_due(Instant::now()) {
            tracing::warn!(
                "the collector does not take traces; what does not fit into the queue is dropped and counted: {why}"
            );
        }
    }

    async fn back_off(&mut self, tried: u32, asked: Option<Duration>) {
        let wait = wait(tried, asked, rand::random());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = closed(&mut self.closing) => {}
        }
    }
}

/// Returns when it is true.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // The config has another collector now: this one is sent what its requests leave.
        std::future::pending::<()>().await;
    }
}

/// What `tried` tries are followed by; `random` from 0 to 1 spreads it by a quarter each way.
fn wait(tried: u32, asked: Option<Duration>, random: f64) -> Duration {
    let doubled = FIRST_WAIT * 2_u32.saturating_pow(tried.saturating_sub(1).min(16));
    let spread = doubled.mul_f64(0.75 + random / 2.0);
    spread.max(asked.unwrap_or_default()).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_do_as_they_are_asked() {
        let seconds = Duration::from_secs_f64;
        for (tried, asked, random, expected) in [
            (1, None, 0.5, 1.0),
            (1, None, 0.0, 0.75),
            (2, None, 1.0, 2.5),
            (4, None, 0.5, 8.0),
            (40, None, 0.5, 30.0),
            (1, Some(7.0), 0.5, 7.0),
            (4, Some(7.0), 0.5, 8.0),
            (1, Some(1e6), 0.5, 30.0),
        ] {
            let wait = wait(tried, asked.map(seconds), random);
            assert_eq!(wait, seconds(expected), "{tried} {asked:?}");
        }
    }
}
