//! Series that come and go together: those of the process, of one route, of one upstream.
//!
//! OpenTelemetry's SDK keeps every series of a provider for ever, since a reader may still ask for its sum. So each
//! thing that a reload can remove has a small provider of its own, which goes with the last who holds its scope.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use prometheus::Registry;
use prometheus::proto::MetricFamily;

use super::metrics::MetricsError;

/// What every series of a scope is labelled with.
pub(super) type ScopeLabels = Vec<KeyValue>;

/// A provider with its reader.
pub(super) struct Scope {
    labels: ScopeLabels,
    registry: Registry,
    reader: SharedReader,
    meter: Meter,
    _provider: SdkMeterProvider,
}

impl Scope {
    /// No series yet. Each metric may have `limit(its name)` series; what is beyond goes to one that is marked with
    /// `otel.metric.overflow`.
    pub(super) fn new(
        labels: ScopeLabels,
        limit: impl Fn(&str) -> usize + Send + Sync + 'static,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let reader = SharedReader(Arc::new(exporter));
        let bounded = move |instrument: &Instrument| {
            let stream = Stream::builder().with_cardinality_limit(limit(instrument.name()));
            stream.build().ok()
        };
        let provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().build())
            .with_reader(reader.clone())
            .with_view(bounded)
            .build();
        Ok(Self {
            labels,
            registry,
            reader,
            meter: provider.meter("portcullis"),
            _provider: provider,
        })
    }

    /// Makes instruments; one that was made before is the same again.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// What every series of it is labelled with.
    pub(super) fn labels(&self) -> &ScopeLabels {
        &self.labels
    }

    /// The labels with more, in the order in which the SDK keeps them: given otherwise, it keeps each series twice.
    pub(super) fn labelled<const N: usize>(&self, more: [KeyValue; N]) -> Vec<KeyValue> {
        let mut all = self.labels.clone();
        all.extend(more);
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// A counter of that name.
    pub(super) fn counter(&self, name: &'static str, description: &'static str) -> Counter<u64> {
        counter(&self.meter, name, description)
    }

    /// A histogram of seconds of that name.
    pub(super) fn seconds(
        &self,
        name: &'static str,
        description: &'static str,
        boundaries: &[f64],
    ) -> Histogram<f64> {
        seconds(&self.meter, name, description, boundaries)
    }

    /// A number of that name that goes up and down.
    pub(super) fn level(
        &self,
        name: &'static str,
        description: &'static str,
    ) -> UpDownCounter<i64> {
        let builder = self.meter.i64_up_down_counter(name);
        builder.with_description(description).build()
    }

    /// Its series as Prometheus has them.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Its series as OpenTelemetry has them.
    pub(super) fn collect(&self) -> Result<ResourceMetrics, MetricsError> {
        let mut collected = ResourceMetrics::default();
        let done = self.reader.collect(&mut collected);
        done.map_err(|error| MetricsError(error.to_string()))?;
        Ok(collected)
    }
}

/// A counter of that name.
pub(super) fn counter(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
) -> Counter<u64> {
    let builder = meter.u64_counter(name);
    builder.with_description(description).build()
}

/// A histogram of seconds of that name.
pub(super) fn seconds(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    boundaries: &[f64],
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(boundaries.to_vec())
        .build()
}

/// The exporter's reader, for the provider and for who wants the series as OpenTelemetry has them: a second reader
/// would have every record done twice.
#[derive(Debug, Clone)]
struct SharedReader(Arc<PrometheusExporter>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, collected: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(collected)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
