//! The record of requests: a bounded ring that tests and `/_mock/attempts` read.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use tokio::sync::watch;
use tokio::time::Instant;

/// One request that the service received.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// From 1, in order of arrival; begins again after a reset.
    pub number: u64,
    /// As received.
    pub method: Method,
    /// As received, without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// As received.
    pub headers: HeaderMap,
    /// Whole; empty until it was read, and always in a service that does not keep bodies.
    pub body: Bytes,
    /// When the head had arrived, on the clock of the service, which is never paused.
    pub at: Instant,
    /// Since the arrival of the previous request to the same path, if that is still on record.
    pub since_previous: Option<Duration>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no answer yet.
    Pending,
    /// Answered with this status.
    Answered(u16),
    /// We closed the connection without an answer.
    Closed,
    /// The client left, or the service stopped, before there was an answer.
    Abandoned,
}

/// Keeps the latest requests.
#[derive(Debug)]
pub(crate) struct Recorder {
    started: Instant,
    capacity: usize,
    keeps_bodies: bool,
    prints: bool,
    log: Mutex<Log>,
    /// How many requests arrived since the start or the reset, for those who wait.
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Log {
    requests: VecDeque<RecordedRequest>,
    /// Goes up at each reset, so that requests from before cannot touch later ones.
    round: u64,
    arrived: u64,
}

/// A request under way. Dropped without an outcome, it is recorded as abandoned.
#[derive(Debug)]
pub(crate) struct Arrival {
    recorder: Arc<Recorder>,
    round: u64,
    number: u64,
    line: Option<Line>,
    outcome: Outcome,
}

/// What is printed of a request once its outcome is known.
#[derive(Debug)]
struct Line {
    request: String,
    since_previous: Option<Duration>,
}

impl Recorder {
    /// A record of at most `capacity` requests that begins now.
    pub(crate) fn new(capacity: usize, keeps_bodies: bool, prints: bool) -> Self {
        Recorder {
            started: Instant::now(),
            capacity: capacity.max(1),
            keeps_bodies,
            prints,
            log: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }

    /// Records a request whose head has just arrived.
    pub(crate) fn arrive(self: &Arc<Self>, head: &Parts) -> Arrival {
        let at = Instant::now();
        let mut log = self.lock();
        let path = head.uri.path();
        let previous = log.requests.iter().rev().find(|other| other.path == path);
        let since_previous = previous.map(|previous| at.duration_since(previous.at));
        log.arrived += 1;
        let number = log.arrived;
        if log.requests.len() == self.capacity {
            log.requests.pop_front();
        }
        log.requests.push_back(RecordedRequest {
            number,
            method: head.method.clone(),
            path: path.to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body: Bytes::new(),
            at,
            since_previous,
            outcome: Outcome::Pending,
        });
        self.count.send_replace(number);
        Arrival {
            recorder: Arc::clone(self),
            round: log.round,
            number,
            line: self.prints.then(|| Line {
                request: format!("{} {path}", head.method),
                since_previous,
            }),
            outcome: Outcome::Pending,
        }
    }

    /// The requests on record, oldest first.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    /// How long after the start this was.
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.duration_since(self.started)
    }

    /// Forgets all requests and counts from 1 again.
    pub(crate) fn clear(&self) {
        let mut log = self.lock();
        log.requests.clear();
        log.round += 1;
        log.arrived = 0;
        self.count.send_replace(0);
    }

    /// Returns once at least this many requests arrived since the start or the reset.
    pub(crate) async fn wait_for(&self, count: u64) {
        let mut counts = self.count.subscribe();
        // Cannot fail: we own the sender.
        let _ = counts.wait_for(|arrived| *arrived >= count).await;
    }

    /// Writes down what became of a request, if it is still on record.
    fn update(&self, arrival: &Arrival, change: impl FnOnce(&mut RecordedRequest)) {
        let mut log = self.lock();
        if log.round != arrival.round {
            return;
        }
        // Numbers on record have no gaps, so the newest one tells where this one is.
        let newer = (log.arrived - arrival.number) as usize;
        let place = log.requests.len().checked_sub(newer + 1);
        if let Some(request) = place.and_then(|place| log.requests.get_mut(place)) {
            change(request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Records the body, now that it was read.
    pub(crate) fn set_body(&self, body: &Bytes) {
        if self.recorder.keeps_bodies {
            self.recorder
                .update(self, |request| request.body = body.clone());
        }
    }

    /// Records the outcome.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let outcome = match self.outcome {
            Outcome::Pending => Outcome::Abandoned,
            known => known,
        };
        self.recorder
            .update(self, |request| request.outcome = outcome);
        if let Some(line) = &self.line {
            // Nobody reads our output any more: no reason to stop serving.
            let _ = line.print(outcome);
        }
    }
}

impl Line {
    fn print(&self, outcome: Outcome) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        match self.since_previous.map(|since| since.as_millis()) {
            Some(since_ms) => writeln!(stdout, "{} {outcome} +{since_ms} ms", self.request),
            None => writeln!(stdout, "{} {outcome}", self.request),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Pending => f.write_str("pending"),
            Outcome::Answered(status) => write!(f, "{status}"),
            Outcome::Closed => f.write_str("closed"),
            Outcome::Abandoned => f.write_str("abandoned"),
        }
    }
}
