//! What is measured of the config and of the policies that it brings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};

use super::scope::{counter, seconds};
use crate::policy::info::PolicyInfo;

/// Seconds; up to a component that takes all the time that it is given.
const COMPILE_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Instruments of the config.
pub struct ConfigMetrics {
    revision: Gauge<u64>,
    held: UpDownCounter<i64>,
    reloads: Counter<u64>,
    last_reload: Gauge<u64>,
    last_success: Gauge<f64>,
    compiled: Histogram<f64>,
}

impl ConfigMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            revision: meter
                .u64_gauge("portcullis.config.revision")
                .with_description("Revision of the config that serves")
                .build(),
            held: meter
                .i64_up_down_counter("portcullis.config.revisions")
                .with_description(
                    "Revisions in memory: the serving one, and older ones that requests still use",
                )
                .build(),
            reloads: counter(
                meter,
                "portcullis.config.reloads",
                "Reloads of the config, by result",
            ),
            last_reload: meter
                .u64_gauge("portcullis.config.last_reload_successful")
                .with_description(
                    "0 after a reload that was rejected, until the config is found good",
                )
                .build(),
            last_success: meter
                .f64_gauge("portcullis.config.last_success.timestamp")
                .with_unit("s")
                .with_description("When the config was last read and found good, since 1970")
                .build(),
            compiled: seconds(
                meter,
                "portcullis.policy.compile.duration",
                "Time of a compile child that made a policy with its uses ready, the wait for its turn included",
                COMPILE_SECONDS,
            ),
        }
    }

    /// The config of that revision serves.
    pub fn serves(&self, revision: u64) {
        self.revision.record(revision, &[]);
    }

    /// A config was read, and is good.
    pub fn read_well(&self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.record(since.as_secs_f64(), &[]);
        self.last_reload.record(1, &[]);
    }

    /// A reload ended as `result`.
    pub fn reload(&self, result: &'static str) {
        self.last_reload.record(u64::from(result == "ok"), &[]);
        let result = KeyValue::new("portcullis.result", result);
        self.reloads.add(1, &[result]);
    }

    /// A revision of the config was made (+1) or dropped (-1).
    pub fn held_revision(&self, change: i64) {
        self.held.add(change, &[]);
    }

    /// A compile child has made a policy with its uses ready.
    pub fn compiled(&self, took: Duration) {
        self.compiled.record(took.as_secs_f64(), &[]);
    }
}

/// Shows which versions of policies serve, as `read` finds them each time that the metrics are read.
pub(super) fn observe_policies(
    meter: &Meter,
    read: impl Fn() -> Vec<PolicyInfo> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge("portcullis.policy.version")
        .with_description("1, with the policy's version in the policy store and its digest; no version where it is not from there")
        .with_callback(move |observer| {
            for policy in read() {
                let version = policy.stored_version;
                let version = version.map_or_else(String::new, |version| version.to_string());
                let labels = [
                    KeyValue::new("portcullis.digest", policy.digest),
                    KeyValue::new("portcullis.policy", policy.name),
                    KeyValue::new("portcullis.version", version),
                ];
                observer.observe(1, &labels);
            }
        })
        .build();
}
