//! Sends all metrics to the collector from time to time: the same series that `/metrics` shows, under the names that
//! OpenTelemetry gives them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::sync::watch;

use super::collector::{Collector, Signal};
use super::complaint::Complaint;
use super::resource::SCHEMA_URL;
use crate::telemetry::metrics::Metrics;

/// What sends, and how often.
pub(super) struct MetricPush {
    pub(super) interval: Duration,
    /// True: once more, and then it ends.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) collector: Collector,
    pub(super) resource: Resource,
    pub(super) metrics: Arc<Metrics>,
    pub(super) complaint: Complaint,
}

impl MetricPush {
    /// Runs until it is closed, or nobody could close it any more. What could not be sent needs no second try: the next
    /// push has it, too.
    pub(super) async fn run(mut self) {
        loop {
            let closing = self.closing.wait_for(|closing| *closing);
            let is_last = match tokio::time::timeout(self.interval, closing).await {
                Err(_) => false,
                Ok(Ok(_)) => true,
                Ok(Err(_)) => return,
            };
            self.push().await;
            if is_last {
                return;
            }
        }
    }

    async fn push(&mut self) {
        let collected = self.metrics.collect();
        let parts = collected.iter().map(ExportMetricsServiceRequest::from);
        let mut message = ExportMetricsServiceRequest {
            resource_metrics: parts.flat_map(|part| part.resource_metrics).collect(),
        };
        for metrics in &mut message.resource_metrics {
            metrics.resource = Some(self.resource.clone());
            metrics.schema_url = SCHEMA_URL.to_owned();
        }
        let message = Bytes::from(message.encode_to_vec());
        match self.collector.send(Signal::Metrics, message).await {
            Ok(answer) => self.pushed(answer),
            Err(error) => self.complain(&error.to_string()),
        }
    }

    fn pushed(&mut self, answer: Bytes) {
        let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
        match answer.partial_success {
            Some(partly) if partly.rejected_data_points > 0 => {
                let (points, why) = (partly.rejected_data_points, partly.error_message);
                self.complain(&format!("{points} data points refused: {why}"));
            }
            _ if self.complaint.withdraw() => tracing::info!("the collector takes metrics again"),
            _ => {}
        }
    }

    fn complain(&mut self, why: &str) {
        if self.complaint.is_due(Instant::now()) {
            tracing::warn!("the collector does not take metrics: {why}");
        }
    }
}
