//! The series of all scopes, put together as one page has them.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::scope::{Scope, ScopeLabels};

/// How OpenTelemetry marks the series that stands for all beyond the limit.
const OVERFLOW: &str = "otel_metric_overflow";

/// All metrics by their names, each once, its series in the order of their labels.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// In the order of their names.
    pub(super) all: Vec<MetricFamily>,
    /// Names of those that had no room for a series.
    pub(super) overflowed: BTreeSet<String>,
    /// Names of those that would be mistaken for others, and are left out.
    pub(super) left_out: BTreeSet<String>,
}

impl Families {
    /// The series of these scopes.
    pub(super) fn of<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> Self {
        let mut merged = BTreeMap::<String, MetricFamily>::new();
        let mut families = Self::default();
        for scope in scopes {
            for family in scope.families() {
                families.take(&mut merged, family, scope.labels());
            }
        }
        let told = families.told_overflow();
        merged.insert(told.name().to_owned(), told);
        let mut taken = BTreeSet::new();
        for (name, mut family) in merged {
            let claimed = claims(&family);
            if claimed.iter().any(|claim| taken.contains(claim)) {
                families.left_out.insert(name);
                continue;
            }
            taken.extend(claimed);
            let mut series = family.take_metric();
            series.sort_by_cached_key(labels_of);
            family.set_metric(series);
            families.all.push(family);
        }
        families
    }

    /// A metric of the metrics: for an alert, since what has no room is otherwise seen only by who looks for it.
    fn told_overflow(&self) -> MetricFamily {
        let mut gauge = Gauge::default();
        gauge.set_value(self.overflowed.len() as f64);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        let mut family = MetricFamily::default();
        family.set_name("portcullis_metrics_overflowed".to_owned());
        family.set_help("Metrics that had no room for a series of their own".to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(vec![metric]);
        family
    }

    fn take(
        &mut self,
        merged: &mut BTreeMap<String, MetricFamily>,
        mut family: MetricFamily,
        labels: &ScopeLabels,
    ) {
        let mut series = family.take_metric();
        for metric in series.iter_mut().filter(|metric| is_overflow(metric)) {
            self.overflowed.insert(family.name().to_owned());
            // It has lost all labels, and would be the same for each scope.
            mark(metric, labels);
        }
        let name = family.name().to_owned();
        let known = merged.entry(name).or_insert_with(|| family.clone());
        if known.get_field_type() == family.get_field_type() {
            let mut all = known.take_metric();
            all.append(&mut series);
            known.set_metric(all);
        } else {
            self.left_out.insert(family.name().to_owned());
        }
    }
}

/// The names that a family's samples have in one of the formats: no other may have them. Only policies, which choose
/// names freely under `policy_`, can come into each other's way.
fn claims(family: &MetricFamily) -> Vec<String> {
    let name = family.name();
    match family.get_field_type() {
        MetricType::COUNTER => {
            let stem = name.strip_suffix("_total").unwrap_or(name);
            vec![stem.to_owned(), format!("{stem}_total")]
        }
        MetricType::HISTOGRAM => {
            let parts = ["_bucket", "_count", "_sum"].map(|part| format!("{name}{part}"));
            let mut all = Vec::from(parts);
            all.push(name.to_owned());
            all
        }
        _ => vec![name.to_owned()],
    }
}

fn is_overflow(metric: &Metric) -> bool {
    let mut labels = metric.get_label().iter();
    labels.any(|label| label.name() == OVERFLOW)
}

fn mark(metric: &mut Metric, labels: &ScopeLabels) {
    let mut all = metric.take_label();
    for label in labels {
        let mut pair = LabelPair::default();
        pair.set_name(label.key.as_str().replace('.', "_"));
        pair.set_value(label.value.to_string());
        all.push(pair);
    }
    all.sort_by(|one, other| one.name().cmp(other.name()));
    metric.set_label(all);
}

fn labels_of(metric: &Metric) -> Vec<(String, String)> {
    let labels = metric.get_label().iter();
    labels
        .map(|label| (label.name().to_owned(), label.value().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::KeyValue;

    use super::*;
    use crate::telemetry::scopes::Scopes;

    fn scope(scopes: &Scopes, route: &str) -> Arc<Scope> {
        scopes.open(
            vec![KeyValue::new("portcullis.route", route.to_owned())],
            |_| 2,
        )
    }

    fn merged(scopes: &Scopes) -> Families {
        let held = scopes.held();
        Families::of(held.iter().map(|scope| &**scope))
    }

    #[test]
    fn a_metric_of_several_scopes_stands_there_once() {
        let scopes = Scopes::default();
        let both = [scope(&scopes, "b"), scope(&scopes, "a")];
        for scope in &both {
            scope.counter("c", "").add(1, scope.labels());
        }
        let families = merged(&scopes);
        let names: Vec<&str> = families.all.iter().map(MetricFamily::name).collect();
        assert_eq!(names, ["c_total", "portcullis_metrics_overflowed"]);
        let series = families.all[0].get_metric().iter().map(labels_of);
        let routes: Vec<String> = series.map(|labels| labels[0].1.clone()).collect();
        assert_eq!(routes, ["a", "b"]);
    }

    #[test]
    fn what_had_no_room_is_told_apart_by_scope() {
        let scopes = Scopes::default();
        let both = [scope(&scopes, "a"), scope(&scopes, "b")];
        for scope in &both {
            for n in 0..4 {
                let labels = scope.labelled([KeyValue::new("n", n)]);
                scope.counter("c", "").add(1, &labels);
            }
        }
        let families = merged(&scopes);
        assert_eq!(families.overflowed, ["c_total".to_owned()].into());
        let mut all: Vec<_> = families.all[0].get_metric().iter().map(labels_of).collect();
        assert_eq!(all.len(), 6);
        all.dedup();
        assert_eq!(all.len(), 6, "{all:?}");
    }

    #[test]
    fn names_that_would_be_mistaken_for_others_are_left_out() {
        let scopes = Scopes::default();
        let (one, other) = (scope(&scopes, "a"), scope(&scopes, "b"));
        one.counter("same", "").add(1, one.labels());
        // In OpenMetrics both would be of the metric `same`.
        other.level("same", "").add(1, other.labels());
        one.seconds("took", "", &[1.0]).record(1.0, one.labels());
        other.level("took.seconds.count", "").add(1, other.labels());
        other.level("as.it.is", "").add(1, other.labels());
        one.meter()
            .f64_histogram("as.it.is")
            .build()
            .record(1.0, one.labels());
        let families = merged(&scopes);
        let names: Vec<&str> = families.all.iter().map(MetricFamily::name).collect();
        let expected = [
            "as_it_is",
            "portcullis_metrics_overflowed",
            "same",
            "took_seconds",
        ];
        assert_eq!(names, expected);
        let left_out = ["as_it_is", "same_total", "took_seconds_count"];
        assert_eq!(families.left_out, left_out.map(str::to_owned).into());
    }
}
