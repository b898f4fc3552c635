//! The series that a policy has made so far, by the names that its author knows.

use std::collections::BTreeMap;

use super::terms::NAME;
use crate::telemetry::metrics::Metrics;

/// Values by `name{label="value"}`, labels in the order of their names.
pub(super) type Series = BTreeMap<String, f64>;

/// Reads them off the page that Prometheus would get.
pub(super) fn read(metrics: &Metrics) -> Result<Series, String> {
    let page = metrics.render().map_err(|error| error.to_string())?;
    Ok(page.lines().filter_map(series).collect())
}

/// By how much `after` is more than `before`, under a name as it is written in code: `a.b{c="d"}`. What is not there is 0.
pub(super) fn growth(before: &Series, after: &Series, claimed: &str) -> f64 {
    let (name, labels) = claimed.split_once('{').unwrap_or((claimed, "}"));
    let name = name.replace('.', "_");
    let value = |series: &Series| {
        let forms = ["_total", "", "_count"].map(|form| format!("{name}{form}{{{labels}"));
        forms.iter().find_map(|form| series.get(form)).copied()
    };
    value(after).unwrap_or(0.0) - value(before).unwrap_or(0.0)
}

fn series(line: &str) -> Option<(String, f64)> {
    let (series, value) = line.strip_prefix("policy_")?.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{')?;
    let own = format!("portcullis_policy=\"{NAME}\",portcullis_route=\"{NAME}\"");
    // Sorted by their names, so that the gateway's own stand somewhere among the policy's.
    let others = labels.strip_suffix('}')?.replacen(&own, "", 1);
    let others = others.replace(",,", ",");
    let others = others.trim_matches(',');
    Some((format!("{name}{{{others}}}"), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_the_name_in_the_code() {
        let metrics = Metrics::start().unwrap();
        let counters = metrics.policy_counters(NAME, NAME, 10);
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        counters.count("a.b", 2.0, &[]);
        let before = read(&metrics).unwrap();
        counters.count("a.b", 1.0, &[]);
        counters.count("c", 1.0, &[label("a", "1"), label("z", "2")]);
        counters.gauge("level", 7.0, &[label("z", "2")]);
        counters.observe("size", 3.0, &[]);
        let after = read(&metrics).unwrap();
        let grown = |claimed| growth(&before, &after, claimed);
        assert_eq!((grown("a.b"), grown("a.b{}")), (1.0, 1.0), "{after:?}");
        assert_eq!(grown("c{a=\"1\",z=\"2\"}"), 1.0, "{after:?}");
        assert_eq!(grown("level{z=\"2\"}"), 7.0, "{after:?}");
        assert_eq!((grown("size"), grown("none")), (1.0, 0.0), "{after:?}");
    }
}
