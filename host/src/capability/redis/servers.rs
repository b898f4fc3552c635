//! A binding's real servers: a line for each worker, and the circuit of all.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use deadpool_redis::redis::Value;
use portcullis_config::RedisBinding as Config;

use super::call::Call;
use super::circuit::{CallEnd, Change, Circuit, CircuitState, Pass};
use super::connector::{BindingProblem, Connector};
use super::failure::{Failure, FailureClass};
use super::line::{Line, NoLink, Up};
use super::tls_files::TlsFiles;
use crate::telemetry::redis::{BindingMetrics, CallOutcome};

/// What is told of a call that is not made.
const CIRCUIT_OPEN: &str = "the servers have not answered: the circuit is open";

/// Shared by all workers.
pub(super) struct Servers {
    name: String,
    deadline: Duration,
    circuit: Arc<Circuit>,
    /// One for each worker: a connection lives in the runtime of the worker that made it.
    lines: Vec<Arc<Line>>,
    metrics: Arc<BindingMetrics>,
}

/// How a call ended that was let through.
struct Ended<'a> {
    line: &'a Arc<Line>,
    /// The connection that it went over.
    up: Option<Up>,
    answer: Result<Value, Failure>,
    /// It ended while a connection was being made.
    connecting: bool,
}

impl Servers {
    /// Prepares the lines of `workers`; no connection is made before it is used.
    pub(super) fn new(
        name: &str,
        config: &Config,
        files: &TlsFiles,
        workers: usize,
        metrics: Arc<BindingMetrics>,
    ) -> Result<Self, BindingProblem> {
        let circuit = Arc::new(Circuit::new(config.circuit));
        let line = || {
            let connector = Connector::new(config, files)?;
            Ok(Arc::new(Line::new(
                connector,
                config.connect_timeout,
                config.circuit.probe_every,
                circuit.clone(),
                metrics.clone(),
            )))
        };
        let lines = (0..workers).map(|_| line()).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            deadline: config.deadline,
            circuit,
            lines,
            metrics,
        })
    }

    /// What its circuit is.
    pub(super) fn circuit_state(&self) -> CircuitState {
        self.circuit.state()
    }

    /// Has a call of that worker answered within the deadline, connecting included.
    pub(super) async fn ask(self: &Arc<Self>, worker: usize, call: Call) -> Result<Value, Failure> {
        let started = Instant::now();
        let place = worker.checked_rem(self.lines.len());
        let Some(line) = place.and_then(|place| self.lines.get(place)) else {
            return Err(Failure::unavailable("there is no worker"));
        };
        let Some(pass) = self.circuit.enter() else {
            self.metrics
                .ended(CallOutcome::CircuitOpen, started.elapsed());
            return Err(Failure::unavailable(CIRCUIT_OPEN));
        };
        let ended = self.ask_over(line, &call).await;
        let outcome = outcome(&ended.answer);
        self.metrics.ended(outcome, started.elapsed());
        self.conclude(worker, pass, &ended);
        ended.answer
    }

    async fn ask_over<'a>(&self, line: &'a Arc<Line>, call: &Call) -> Ended<'a> {
        let mut used = None;
        let asked = async {
            let mut up = line.up(self.deadline).await?;
            used = Some(up.clone());
            let is_cluster = up.link.is_cluster();
            let answer = call.send(&mut up.link).await;
            answer.map_err(|error| NoLink::Failed(Failure::of(error, is_cluster)))
        };
        let answer = tokio::time::timeout(self.deadline, asked).await;
        let late = answer.is_err() && used.is_none();
        let (answer, connecting) = match answer {
            Ok(Ok(value)) => (Ok(value), false),
            Ok(Err(NoLink::Failed(failure))) => (Err(failure), false),
            Ok(Err(NoLink::Connecting)) => (Err(Failure::unavailable("connecting")), true),
            Err(_) if late => (Err(Failure::timed_out()), true),
            Err(_) => (Err(Failure::timed_out()), false),
        };
        Ended {
            line,
            up: used,
            answer,
            connecting,
        }
    }

    /// Tells the line and the circuit.
    fn conclude(self: &Arc<Self>, worker: usize, pass: Pass<'_>, ended: &Ended<'_>) {
        let end = match (&ended.answer, &ended.up) {
            (Ok(_), _) => CallEnd::Answered,
            (Err(failure), Some(_)) if failure.is_answer() => CallEnd::Answered,
            (Err(failure), Some(up)) if ended.line.failed(up, failure) => CallEnd::Failed,
            (Err(_), Some(_)) => CallEnd::Unknown,
            (Err(_), None) if ended.connecting => CallEnd::Unknown,
            (Err(_), None) => CallEnd::Failed,
        };
        let redis = self.name.as_str();
        match pass.end(end, Instant::now()) {
            None => {}
            Some(Change::Closed) => {
                tracing::info!(redis, "the servers answer again: the circuit is closed");
            }
            Some(Change::Opened) => {
                let reason = ended.answer.as_ref().err().map_or("", Failure::reason);
                tracing::warn!(
                    redis,
                    "the servers do not answer: the circuit is open: {reason}"
                );
                self.start_probing(worker, Duration::ZERO);
            }
            Some(Change::Reopened) => self.start_probing(worker, self.circuit.next_wait()),
        }
    }

    /// Probes beside the requests, over that worker's line, until a server answers or the binding is gone.
    fn start_probing(self: &Arc<Self>, worker: usize, first_wait: Duration) {
        let servers = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(first_wait).await;
            while let Some(next) = probe(&servers, worker).await {
                tokio::time::sleep_until(next.into()).await;
            }
        });
    }
}

/// When to probe next, if at all.
async fn probe(servers: &Weak<Servers>, worker: usize) -> Option<Instant> {
    let servers = servers.upgrade()?;
    let started = Instant::now();
    let place = worker.checked_rem(servers.lines.len())?;
    if servers.lines.get(place)?.probe(servers.deadline).await {
        servers.lines.iter().for_each(|line| line.pause_no_longer());
        servers.circuit.probe_answered();
        return None;
    }
    Some(started + servers.circuit.next_wait())
}

fn outcome(answer: &Result<Value, Failure>) -> CallOutcome {
    match answer.as_ref().map_err(|failure| &failure.class) {
        Ok(_) => CallOutcome::Answered,
        Err(FailureClass::Unavailable(_)) => CallOutcome::Unavailable,
        Err(FailureClass::TimedOut) => CallOutcome::TimedOut,
        Err(FailureClass::Server(_)) => CallOutcome::Server,
    }
}
