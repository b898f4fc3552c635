//! What a config sends out, and what of it outlives the config: queues and connections that stay as they are.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_config::{AccessLog, Config, Otlp, Tracing};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::collector::Collector;
use super::complaint::Complaint;
use super::metric_push::MetricPush;
use super::resource::resource;
use super::trace_exporter::TraceExporter;
use super::trace_queue::TraceQueue;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracer;
use crate::upstream::connection::tls::TlsProblem;

/// What a revision sends out.
#[derive(Clone, Default)]
pub struct Exporting {
    /// Which requests are traced; `None`: none.
    pub tracer: Option<Arc<Tracer>>,
    traces: Option<Arc<TraceExport>>,
    push: Option<Arc<PushExport>>,
}

/// What the last config sends out: the next one takes over what stays the same.
pub struct Exports {
    present: Mutex<Exporting>,
    /// Tells this process from others of the same service.
    instance: u128,
}

struct TraceExport {
    otlp: Otlp,
    identity: String,
    queue: Arc<TraceQueue>,
    task: ExportTask,
}

struct PushExport {
    otlp: Otlp,
    identity: String,
    interval: Duration,
    task: ExportTask,
}

/// A task of the control side that sends.
struct ExportTask {
    closing: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Default for Exports {
    fn default() -> Self {
        Self {
            present: Mutex::default(),
            instance: rand::random(),
        }
    }
}

impl Exports {
    /// What a config that is about to serve sends out. What `settle` has made the present one is used again where nothing
    /// of it has changed.
    ///
    /// # Errors
    /// What of `otlp.tls` can't be used.
    pub fn prepare(
        &self,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Exporting, TlsProblem> {
        let Some(otlp) = &config.otlp else {
            return Ok(Exporting::default());
        };
        let present = self.present();
        let site = Site {
            otlp,
            instance: self.instance,
            metrics,
        };
        let traces = config.tracing.map(|rules| {
            let export = site.traces(present.traces)?;
            let redact = redacted(config.access_log.as_ref());
            let tracer = tracer(rules, redact, export.queue.clone());
            Ok((export, tracer))
        });
        let (traces, tracer) = traces.transpose()?.unzip();
        let interval = config.metrics.as_ref().and_then(|metrics| metrics.push);
        let push = interval.map(|interval| site.push(present.push, interval));
        Ok(Exporting {
            tracer,
            traces,
            push: push.transpose()?,
        })
    }

    /// This is what serves now.
    pub fn settle(&self, exporting: &Exporting) {
        let before = std::mem::replace(&mut *self.lock(), exporting.clone());
        drop(before);
    }

    /// Sends what waits, and takes at most that long.
    pub async fn close(&self, at_most: Duration) {
        let present = self.present();
        let traces = present.traces.as_ref().map(|export| &export.task);
        let push = present.push.as_ref().map(|export| &export.task);
        let all = async {
            for task in [traces, push].into_iter().flatten() {
                task.closing.send_replace(true);
            }
            for task in [traces, push].into_iter().flatten() {
                task.ended().await;
            }
        };
        if tokio::time::timeout(at_most, all).await.is_err() {
            tracing::warn!("the collector does not take the last traces and metrics in time");
        }
    }

    fn present(&self) -> Exporting {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Exporting> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tracer(rules: Tracing, redact: BTreeSet<String>, queue: Arc<TraceQueue>) -> Arc<Tracer> {
    Arc::new(Tracer::new(rules, redact, queue))
}

/// What the access log does not show is not shown here either.
fn redacted(log: Option<&AccessLog>) -> BTreeSet<String> {
    let always = || AccessLog::ALWAYS_REDACTED.map(str::to_owned).into();
    log.map_or_else(always, |log| log.redact.clone())
}

/// What exports of one config have in common.
struct Site<'a> {
    otlp: &'a Otlp,
    instance: u128,
    metrics: &'a Arc<Metrics>,
}

impl Site<'_> {
    fn traces(&self, present: Option<Arc<TraceExport>>) -> Result<Arc<TraceExport>, TlsProblem> {
        let collector = Collector::new(self.otlp)?;
        let identity = collector.identity();
        let same =
            present.filter(|export| export.otlp == *self.otlp && export.identity == identity);
        if let Some(export) = same {
            return Ok(export);
        }
        let (queue, traces, half_full) = TraceQueue::new(self.metrics.clone());
        let task = ExportTask::start(|closing| {
            let exporter = TraceExporter {
                traces,
                half_full,
                closing,
                collector,
                resource: resource(self.otlp, self.instance),
                metrics: self.metrics.clone(),
                complaint: Complaint::default(),
            };
            exporter.run()
        });
        Ok(Arc::new(TraceExport {
            otlp: self.otlp.clone(),
            identity,
            queue: Arc::new(queue),
            task,
        }))
    }

    fn push(
        &self,
        present: Option<Arc<PushExport>>,
        interval: Duration,
    ) -> Result<Arc<PushExport>, TlsProblem> {
        let collector = Collector::new(self.otlp)?;
        let identity = collector.identity();
        let same = present.filter(|export| {
            export.otlp == *self.otlp && export.identity == identity && export.interval == interval
        });
        if let Some(export) = same {
            return Ok(export);
        }
        let task = ExportTask::start(|closing| {
            let push = MetricPush {
                interval,
                closing,
                collector,
                resource: resource(self.otlp, self.instance),
                metrics: self.metrics.clone(),
                complaint: Complaint::default(),
            };
            push.run()
        });
        Ok(Arc::new(PushExport {
            otlp: self.otlp.clone(),
            identity,
            interval,
            task,
        }))
    }
}

impl ExportTask {
    /// It ends by itself when this is dropped and nothing is left for it to do.
    fn start<F>(run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (closing, closed) = watch::channel(false);
        Self {
            closing,
            task: Mutex::new(Some(tokio::spawn(run(closed)))),
        }
    }

    async fn ended(&self) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // One that has failed has ended as well.
            let _ = task.await;
        }
    }
}
