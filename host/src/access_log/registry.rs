//! The access log of a config, and what of it outlives the config.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::sink::Sink;
use crate::telemetry::metrics::Metrics;

/// An access log: what it shows, and where its lines go.
pub struct AccessLog {
    pub(super) config: portcullis_config::AccessLog,
    pub(super) sink: Arc<Sink>,
}

impl AccessLog {
    /// Whether a request is logged; `random` is drawn only where the config wants a sample.
    pub(super) fn takes(&self, random: impl FnOnce() -> f64) -> bool {
        is_sampled(self.config.sample, random)
    }
}

fn is_sampled(share: f64, random: impl FnOnce() -> f64) -> bool {
    share >= 1.0 || random() < share
}

/// The access log of the last config: the next one takes over what stays the same.
#[derive(Default)]
pub struct AccessLogs(Mutex<Option<Arc<AccessLog>>>);

impl AccessLogs {
    /// The access log for a config that is about to serve. What `settle` has made the present one is
    /// used again: wholly if nothing has changed, or else its open file.
    pub fn prepare(
        &self,
        config: &portcullis_config::AccessLog,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Arc<AccessLog>> {
        let present = self.present();
        if let Some(present) = present.as_ref().filter(|present| present.config == *config) {
            return Ok(present.clone());
        }
        let same_target = present.filter(|present| present.config.target == config.target);
        let sink = match same_target {
            Some(present) => present.sink.clone(),
            None => Arc::new(Sink::start(config.target.clone(), metrics.clone())?),
        };
        Ok(Arc::new(AccessLog {
            config: config.clone(),
            sink,
        }))
    }

    /// This one serves now.
    pub fn settle(&self, log: Option<&Arc<AccessLog>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = log.cloned();
    }

    /// Opens the file anew, for who has renamed it.
    pub fn reopen(&self) {
        if let Some(log) = self.present() {
            log.sink.reopen();
        }
    }

    /// Waits until what was handed over is written, at most that long.
    pub fn close(&self, at_most: Duration) {
        if let Some(log) = self.present() {
            log.sink.close(at_most);
        }
    }

    fn present(&self) -> Option<Arc<AccessLog>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_taken_by_the_number_that_is_drawn() {
        assert!(is_sampled(1.0, || panic!(
            "nothing is drawn where all are taken"
        )));
        assert!(is_sampled(0.1, || 0.099_999));
        assert!(!is_sampled(0.1, || 0.1));
        assert!(!is_sampled(0.0, || 0.0));
        let tenths = (0..1000).map(|n| f64::from(n) / 1000.0);
        assert_eq!(
            tenths.filter(|drawn| is_sampled(0.1, || *drawn)).count(),
            100
        );
    }
}
