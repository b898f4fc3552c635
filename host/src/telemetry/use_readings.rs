//! The counts of policies' uses, read back out of the registry for who asks the control API.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily};

const DURATION: &str = "portcullis_policy_duration_seconds";
const FAULTS: &str = "portcullis_policy_faults_total";

/// What was counted of one policy on one route since the gateway started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UseReading {
    /// By hook.
    pub calls: BTreeMap<String, Calls>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

/// Calls of one hook.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// What they took, all together.
    pub seconds: f64,
}

/// The counts by policy and route.
pub(super) fn read(families: &[MetricFamily]) -> BTreeMap<(String, String), UseReading> {
    let mut readings = BTreeMap::<_, UseReading>::new();
    for family in families {
        match family.name() {
            DURATION => each(family, "portcullis_phase", |used, phase, metric| {
                let histogram = metric.get_histogram();
                let calls = Calls {
                    count: histogram.get_sample_count(),
                    seconds: histogram.get_sample_sum(),
                };
                let reading = readings.entry(used).or_default();
                reading.calls.insert(phase, calls);
            }),
            FAULTS => each(family, "portcullis_fault", |used, kind, metric| {
                let reading = readings.entry(used).or_default();
                // A whole number that was counted up from 0.
                *reading.faults.entry(kind).or_default() += metric.get_counter().get_value() as u64;
            }),
            _ => {}
        }
    }
    readings
}

/// Each metric of the family with its policy and route, and its value of that label.
fn each(
    family: &MetricFamily,
    label: &str,
    mut take: impl FnMut((String, String), String, &Metric),
) {
    for metric in family.get_metric() {
        let value = |name: &str| {
            let mut labels = metric.get_label().iter();
            let found = labels.find(|label| label.name() == name);
            found.map_or_else(String::new, |label| label.value().to_owned())
        };
        let used = (value("portcullis_policy"), value("portcullis_route"));
        take(used, value(label), metric);
    }
}
