//! Series that policies make: named under `policy.`, labelled with the policy and the route,
//! bounded in number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundGauge, BoundHistogram};

use super::policy_use::{LimitCounter, UseSeries};
use super::scope::Scope;
use super::scopes::Scopes;

/// Labels of one series that are kept.
const MAX_LABELS: usize = 8;
/// Bytes of a name or value that are kept.
const MAX_TEXT_BYTES: usize = 128;

type Labels = [(String, String)];

/// The series of one use of a policy. A reload that leaves the use goes on with them.
pub struct PolicyCounters {
    scope: Arc<Scope>,
    counters: DashMap<String, BoundCounter<f64>>,
    gauges: DashMap<String, BoundGauge<f64>>,
    histograms: DashMap<String, BoundHistogram<f64>>,
    series: AtomicUsize,
    max_series: Arc<AtomicUsize>,
    refused: LimitCounter,
}

impl PolicyCounters {
    /// No series yet. Records of more than `max_series` are dropped, and counted.
    pub(super) fn new(
        scopes: &Scopes,
        (policy, route): (&str, &str),
        max_series: usize,
        used: &Arc<UseSeries>,
    ) -> Self {
        let max_series = Arc::new(AtomicUsize::new(max_series));
        let limit = max_series.clone();
        let labels = vec![
            KeyValue::new("portcullis.policy", policy.to_owned()),
            KeyValue::new("portcullis.route", route.to_owned()),
        ];
        Self {
            scope: scopes.open(labels, move |_| limit.load(Ordering::Relaxed)),
            counters: DashMap::new(),
            gauges: DashMap::new(),
            histograms: DashMap::new(),
            series: AtomicUsize::new(0),
            max_series,
            refused: used.bind_limit("metric_series"),
        }
    }

    /// From now on it may have that many series. What it has stays.
    pub(super) fn bound(&self, max_series: usize) {
        self.max_series.store(max_series, Ordering::Relaxed);
    }

    /// Adds to a counter. What is not a positive number would make it go back, and is dropped.
    pub fn count(&self, name: &str, by: f64, labels: &Labels) {
        if !(by.is_finite() && by >= 0.0) {
            return;
        }
        let key = series_key(name, labels);
        if let Some(counter) = self.counters.get(&key) {
            return counter.add(by);
        }
        if self.may_add_series() {
            let counter = self
                .scope
                .meter()
                .f64_counter(metric_name(name))
                .build()
                .bind(&self.labels(labels));
            counter.add(by);
            self.counters.insert(key, counter);
        }
    }

    /// Sets a gauge.
    pub fn gauge(&self, name: &str, value: f64, labels: &Labels) {
        let key = series_key(name, labels);
        if let Some(gauge) = self.gauges.get(&key) {
            return gauge.record(value);
        }
        if self.may_add_series() {
            let gauge = self.scope.meter().f64_gauge(metric_name(name)).build();
            let gauge = gauge.bind(&self.labels(labels));
            gauge.record(value);
            self.gauges.insert(key, gauge);
        }
    }

    /// Records into a histogram.
    pub fn observe(&self, name: &str, value: f64, labels: &Labels) {
        let key = series_key(name, labels);
        if let Some(histogram) = self.histograms.get(&key) {
            return histogram.record(value);
        }
        if self.may_add_series() {
            let histogram = self
                .scope
                .meter()
                .f64_histogram(metric_name(name))
                .build()
                .bind(&self.labels(labels));
            histogram.record(value);
            self.histograms.insert(key, histogram);
        }
    }

    fn may_add_series(&self) -> bool {
        let max = self.max_series.load(Ordering::Relaxed);
        let more = |series: usize| (series < max).then_some(series + 1);
        let (set, fetched) = (Ordering::Relaxed, Ordering::Relaxed);
        let may = self.series.fetch_update(set, fetched, more).is_ok();
        if !may {
            self.refused.refused();
        }
        may
    }

    fn labels(&self, labels: &Labels) -> Vec<KeyValue> {
        let own = self.scope.labels().iter().cloned();
        let mut all = Vec::with_capacity(own.len() + labels.len());
        all.extend(own);
        for (name, value) in labels.iter().take(MAX_LABELS) {
            let name = label_name(name);
            // The first of a name holds, so that a policy can't take the gateway's.
            let taken = all
                .iter()
                .any(|label| same_label(label.key.as_str(), &name));
            if !taken && !RESERVED_LABELS.contains(&&*name) {
                all.push(KeyValue::new(name, cut(value).to_owned()));
            }
        }
        // As the SDK keeps them.
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }
}

/// Labels that Prometheus sets in histograms and summaries.
const RESERVED_LABELS: [&str; 2] = ["le", "quantile"];

/// A name in the letters that Prometheus allows, and not empty.
fn label_name(name: &str) -> String {
    let mut safe = identifier(name, "_");
    if !safe.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        safe.insert(0, '_');
    }
    safe
}

/// Whether the exporter writes both names alike: it turns dots into underscores.
fn same_label(one: &str, other: &str) -> bool {
    let plain = |c: char| if c == '.' { '_' } else { c };
    one.chars().map(plain).eq(other.chars().map(plain))
}

/// Letters, digits and `allowed`; what else there is becomes an underscore.
fn identifier(name: &str, allowed: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || allowed.contains(c);
    cut(name)
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect()
}

fn series_key(name: &str, labels: &Labels) -> String {
    let mut key = String::with_capacity(64);
    key.push_str(cut(name));
    for (name, value) in labels.iter().take(MAX_LABELS) {
        key.push('\0');
        key.push_str(cut(name));
        key.push('\0');
        key.push_str(cut(value));
    }
    key
}

/// `policy.` and the name, in the letters that OpenTelemetry allows.
fn metric_name(name: &str) -> String {
    format!("policy.{}", identifier(name, "._"))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use crate::telemetry::metrics::Metrics;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_policys_series_carry_its_name_and_are_bounded() {
        const MAX_SERIES: usize = 50;
        let metrics = Metrics::start().unwrap();
        let counters = metrics.policy_counters("limit", "r", MAX_SERIES);
        for n in 0..2 * MAX_SERIES {
            counters.count("decisions", 1.0, &[pair("n", &n.to_string())]);
        }
        counters.count("decisions", 2.0, &[pair("n", "0")]);
        counters.count("decisions", -5.0, &[pair("n", "0")]);
        let page = metrics.render().unwrap();
        assert_eq!(
            page.lines()
                .filter(|line| line.starts_with("policy_decisions_total{"))
                .count(),
            MAX_SERIES
        );
        let first =
            r#"policy_decisions_total{n="0",portcullis_policy="limit",portcullis_route="r"} 3"#;
        assert!(page.lines().any(|line| line == first), "{page}");
    }

    #[test]
    fn labels_that_would_break_the_page_are_renamed_or_dropped() {
        let metrics = Metrics::start().unwrap();
        let counters = metrics.policy_counters("limit", "r", 200);
        let given = [
            pair("", "empty"),
            pair("le", "5"),
            pair("portcullis_policy", "fake"),
            pair("9 lives", "cat"),
            pair("a", "1"),
            pair("a", "2"),
        ];
        let labels: Vec<(String, String)> = counters
            .labels(&given)
            .into_iter()
            .map(|label| (label.key.to_string(), label.value.to_string()))
            .collect();
        let expected = [
            pair("_", "empty"),
            pair("_9_lives", "cat"),
            pair("a", "1"),
            pair("portcullis.policy", "limit"),
            pair("portcullis.route", "r"),
        ];
        assert_eq!(labels, expected);
    }
}
