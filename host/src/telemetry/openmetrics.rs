//! The page in OpenMetrics' text format, 1.0.0
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>), which the prometheus crate does
//! not write.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Units that a metric's name may end with: all that the gateway has.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// These metrics, each with its name once.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut page = String::with_capacity(64 << 10);
    for family in families {
        write_family(&mut page, family);
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(page: &mut String, family: &MetricFamily) {
    let (kind, name) = kind_and_name(family);
    // Writing to a string does not fail.
    let _ = writeln!(page, "# TYPE {name} {kind}");
    let unit = UNITS.iter().find(|unit| is_in(name, unit));
    if let Some(unit) = unit {
        let _ = writeln!(page, "# UNIT {name} {unit}");
    }
    if !family.help().is_empty() {
        let _ = writeln!(page, "# HELP {name} {}", escaped(family.help()));
    }
    for metric in family.get_metric() {
        write_metric(page, name, kind, metric);
    }
}

fn is_in(name: &str, unit: &str) -> bool {
    let stem = name.strip_suffix(unit);
    stem.is_some_and(|stem| stem.ends_with('_'))
}

/// The kind, and the name without what it adds to it.
fn kind_and_name(family: &MetricFamily) -> (&'static str, &str) {
    let name = family.name();
    match family.get_field_type() {
        MetricType::COUNTER => ("counter", name.strip_suffix("_total").unwrap_or(name)),
        MetricType::HISTOGRAM => ("histogram", name),
        // Of policies' gauges nobody knows whether they are 1, as an info has to be.
        _ => match name.strip_suffix("_info") {
            Some(stem) if !name.starts_with("policy_") => ("info", stem),
            _ => ("gauge", name),
        },
    }
}

fn write_metric(page: &mut String, name: &str, kind: &str, metric: &Metric) {
    let labels = metric.get_label();
    match kind {
        "counter" => sample(
            page,
            (name, "_total"),
            labels,
            metric.get_counter().get_value(),
        ),
        "info" => sample(
            page,
            (name, "_info"),
            labels,
            metric.get_gauge().get_value(),
        ),
        "histogram" => {
            let histogram = metric.get_histogram();
            let count = histogram.get_sample_count();
            let bounded = histogram.get_bucket().iter();
            let bounded = bounded.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
            let all = bounded
                .filter(|(bound, _)| bound.is_finite())
                .chain([(f64::INFINITY, count)]);
            for (bound, count) in all {
                bucket(page, name, labels, bound, count);
            }
            sample(page, (name, "_count"), labels, count as f64);
            sample(page, (name, "_sum"), labels, histogram.get_sample_sum());
        }
        _ => sample(page, (name, ""), labels, metric.get_gauge().get_value()),
    }
}

fn sample(page: &mut String, (name, suffix): (&str, &str), labels: &[LabelPair], value: f64) {
    let _ = write!(page, "{name}{suffix}");
    write_labels(page, labels, None);
    let _ = writeln!(page, " {}", number(value));
}

fn bucket(page: &mut String, name: &str, labels: &[LabelPair], bound: f64, count: u64) {
    let _ = write!(page, "{name}_bucket");
    write_labels(page, labels, Some(&bound_text(bound)));
    let _ = writeln!(page, " {count}");
}

fn write_labels(page: &mut String, labels: &[LabelPair], le: Option<&str>) {
    let own = labels.iter().map(|label| (label.name(), label.value()));
    let all = own.chain(le.map(|le| ("le", le)));
    let mut before = '{';
    for (name, value) in all {
        let _ = write!(page, "{before}{name}=\"{}\"", escaped(value));
        before = ',';
    }
    if before == ',' {
        page.push('}');
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        let sign = if value > 0.0 { "+" } else { "-" };
        return format!("{sign}Inf");
    }
    value.to_string()
}

/// "Canonical Numbers": a bound is written in one way only, with its fraction and as C's `%g` has it.
fn bound_text(bound: f64) -> String {
    if bound.is_infinite() {
        return "+Inf".to_owned();
    }
    if bound != 0.0 && !(1e-4..1e6).contains(&bound.abs()) {
        let text = format!("{bound:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{bound:?}")
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::*;
    use crate::telemetry::families::Families;
    use crate::telemetry::scope::Scope;

    #[test]
    fn each_kind_is_written_as_the_specification_has_it() {
        let scope = Scope::new(Vec::new(), |_| 10).unwrap();
        let hostile = [KeyValue::new("label", "a\"b\\c\nd")];
        scope
            .counter("a.counter", "Counts \"things\"")
            .add(2, &hostile);
        scope.level("b.level", "").add(-3, &[]);
        let took = scope.seconds("c.took", "Time", &[0.000_01, 0.005, 1.0]);
        took.record(0.003, &[KeyValue::new("k", "v")]);
        scope
            .level("d.info", "About")
            .add(1, &[KeyValue::new("version", "1")]);
        let page = encode(&Families::of([&scope]).all);
        let expected = r#"# TYPE a_counter counter
# HELP a_counter Counts \"things\"
a_counter_total{label="a\"b\\c\nd"} 2
# TYPE b_level gauge
b_level -3
# TYPE c_took_seconds histogram
# UNIT c_took_seconds seconds
# HELP c_took_seconds Time
c_took_seconds_bucket{k="v",le="1e-05"} 0
c_took_seconds_bucket{k="v",le="0.005"} 1
c_took_seconds_bucket{k="v",le="1.0"} 1
c_took_seconds_bucket{k="v",le="+Inf"} 1
c_took_seconds_count{k="v"} 1
c_took_seconds_sum{k="v"} 0.003
# TYPE d info
# HELP d About
d_info{version="1"} 1
# TYPE portcullis_metrics_overflowed gauge
# HELP portcullis_metrics_overflowed Metrics that had no room for a series of their own
portcullis_metrics_overflowed 0
# EOF
"#;
        assert_eq!(page, expected);
    }

    #[test]
    fn bounds_are_canonical() {
        let table = [
            (0.0, "0.0"),
            (0.000_005, "5e-06"),
            (0.000_1, "0.0001"),
            (2.5, "2.5"),
            (10.0, "10.0"),
            (250_000.0, "250000.0"),
            (1e6, "1e+06"),
            (2.5e10, "2.5e+10"),
        ];
        for (bound, text) in table {
            assert_eq!(bound_text(bound), text);
        }
    }
}
