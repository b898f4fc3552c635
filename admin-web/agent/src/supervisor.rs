//! One service from its first start to its last stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::backoff::Backoff;
use crate::health::{HealthWatch, Verdict};
use crate::line_reader::LineReader;
use crate::log_tail::LogTail;
use crate::output::Voice;
use crate::process::{Ending, KeptProcess, Order, Report};
use crate::stack::Service;
use crate::status::{State, Status};

/// What the agent wants of all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// They run.
    Run,
    /// They stop, each after those that depend on it.
    Stop,
    /// They end at once.
    Kill,
}

/// Keeps one service going.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) service: Service,
    pub(crate) voice: Voice,
    pub(crate) tail: LogTail,
    pub(crate) status: watch::Sender<Status>,
    /// Is told when the state is another.
    pub(crate) changed: Arc<Notify>,
    pub(crate) wish: watch::Receiver<Wish>,
    /// Of what it depends on.
    pub(crate) dependences: Vec<watch::Receiver<Status>>,
    /// Of what depends on it.
    pub(crate) dependents: Vec<watch::Receiver<Status>>,
}

/// How a life of the service ended.
#[derive(Debug)]
enum Life {
    /// As was wished.
    Stopped,
    /// By itself, and well.
    Ended,
    /// Otherwise; it had been healthy for so long.
    Crashed { why: String, was_healthy: Duration },
}

impl Supervisor {
    /// Until it is stopped, has ended, or is given up.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.service.restart.clone());
        loop {
            self.set(State::Waiting);
            if !self.wait_for_dependences().await {
                return self.set(State::Stopped);
            }
            let (why, was_healthy) = match self.live().await {
                Life::Stopped => return self.set(State::Stopped),
                Life::Ended => {
                    self.voice.say("ended");
                    return self.set(State::Ended);
                }
                Life::Crashed { .. } if *self.wish.borrow() >= Wish::Stop => {
                    return self.set(State::Stopped);
                }
                Life::Crashed { why, was_healthy } => (why, was_healthy),
            };
            let Some(pause) = backoff.crashed(was_healthy) else {
                self.voice.say(&format!(
                    "{why}: crash {} in a row, given up",
                    backoff.crashes()
                ));
                return self.set(State::GaveUp);
            };
            self.voice.say(&format!("{why}: starts again in {pause:?}"));
            self.set(State::BackingOff(pause));
            tokio::select! {
                () = sleep(pause) => {}
                () = wished(&mut self.wish, Wish::Stop) => return self.set(State::Stopped),
            }
            self.status.send_modify(|status| status.restarts += 1);
        }
    }

    /// Whether they are all healthy, rather than that everything stops.
    async fn wait_for_dependences(&mut self) -> bool {
        let dependences = &mut self.dependences;
        let all_up = async {
            for dependence in dependences {
                if dependence
                    .wait_for(|status| status.state.is_up())
                    .await
                    .is_err()
                {
                    // Its supervisor is gone without it having been up: wait to be stopped.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = wished(&mut self.wish, Wish::Stop) => false,
            () = all_up => true,
        }
    }

    /// One life: from the start of its process until nothing is left of it.
    async fn live(&mut self) -> Life {
        self.set(State::Starting);
        let (mut process, stdout, stderr) = match KeptProcess::start(&self.service) {
            Ok(started) => started,
            Err(error) => {
                return Life::Crashed {
                    why: format!("cannot be started: {error}"),
                    was_healthy: Duration::ZERO,
                };
            }
        };
        let forward = [
            tokio::spawn(forward(stdout, self.voice.clone(), self.tail.clone())),
            tokio::spawn(forward(stderr, self.voice.clone(), self.tail.clone())),
        ];
        let life = self.watch(&mut process).await;
        process.end().await;
        // Nobody holds the other ends of the pipes any more: these end by themselves, with the last line.
        for forward in forward {
            let _ = forward.await;
        }
        self.status.send_modify(|status| status.pid = None);
        life
    }

    async fn watch(&mut self, process: &mut KeptProcess) -> Life {
        let mut health = HealthWatch::start(self.service.health.clone());
        let check = self.service.health.as_ref();
        let start_timeout = check.map(|health| health.start_timeout);
        let deadline = start_timeout.map(|timeout| Instant::now() + timeout);
        let mut healthy_since: Option<Instant> = None;
        let why = loop {
            tokio::select! {
                report = process.report() => match report {
                    Some(Report::Started(pid)) => {
                        self.begin(pid, &mut healthy_since);
                    }
                    // One with a health check that was never healthy has not done what it is for.
                    Some(Report::Ended(Ending::Code(0))) if healthy_since.is_some() => {
                        return Life::Ended;
                    }
                    Some(Report::Ended(ending)) => break format!("ended with {ending}"),
                    None => break "lost its keeper".to_owned(),
                },
                Ok(()) = health.verdict.changed() => {
                    let verdict = *health.verdict.borrow_and_update();
                    self.judge(verdict, &mut healthy_since);
                }
                () = at(deadline), if healthy_since.is_none() => {
                    self.stop(process).await;
                    break format!("was not healthy within {:?}", start_timeout.unwrap_or_default());
                }
                () = wished(&mut self.wish, Wish::Stop) => {
                    drop(health);
                    self.wait_for_dependents().await;
                    self.stop(process).await;
                    return Life::Stopped;
                }
            }
        };
        let was_healthy = healthy_since.map_or(Duration::ZERO, |since| since.elapsed());
        Life::Crashed { why, was_healthy }
    }

    /// Its program has begun; without a health check that is all that it takes.
    fn begin(&self, pid: u32, healthy_since: &mut Option<Instant>) {
        self.status.send_modify(|status| status.pid = Some(pid));
        if self.service.health.is_none() {
            self.judge(Verdict::Healthy, healthy_since);
        }
    }

    fn judge(&self, verdict: Verdict, healthy_since: &mut Option<Instant>) {
        let state = match verdict {
            Verdict::Unknown => return,
            Verdict::Healthy => State::Healthy,
            Verdict::Unhealthy => State::Unhealthy,
        };
        if self.service.health.is_some()
            && (verdict == Verdict::Unhealthy || healthy_since.is_some())
        {
            self.voice.say(&format!("is {state}"));
        }
        healthy_since.get_or_insert_with(Instant::now);
        self.set(state);
    }

    async fn wait_for_dependents(&mut self) {
        for dependent in &mut self.dependents {
            tokio::select! {
                // An error: its supervisor has gone, and with it the service.
                _ = dependent.wait_for(|status| status.state.is_over()) => {}
                () = wished(&mut self.wish, Wish::Kill) => return,
            }
        }
    }

    /// Stops its process: by its signal, and after its grace, or a wish, by SIGKILL.
    async fn stop(&mut self, process: &mut KeptProcess) {
        self.set(State::Stopping);
        let grace = self.service.stop.grace;
        process.order(Order::Stop).await;
        let ended =
            async { while !matches!(process.report().await, Some(Report::Ended(_)) | None) {} };
        let is_in_time = tokio::select! {
            in_time = timeout(grace, ended) => in_time.is_ok(),
            () = wished(&mut self.wish, Wish::Kill) => false,
        };
        if !is_in_time {
            if *self.wish.borrow() < Wish::Kill {
                self.voice
                    .say(&format!("has not stopped within {grace:?}: killed"));
            }
            process.order(Order::Kill).await;
        }
    }

    fn set(&self, state: State) {
        self.status.send_modify(|status| status.state = state);
        self.changed.notify_one();
    }
}

/// Once it is time, if there is a time.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Once the agent wants this, or more.
async fn wished(wish: &mut watch::Receiver<Wish>, at_least: Wish) {
    if wish.wait_for(|wish| *wish >= at_least).await.is_err() {
        // The agent is ending without a wish: so does this task.
        std::future::pending::<()>().await;
    }
}

async fn forward(source: impl AsyncRead + Unpin, voice: Voice, tail: LogTail) {
    let mut lines = LineReader::new(source);
    while let Some(line) = lines.next().await {
        voice.say(&line);
        tail.push(line);
    }
}
