//! When calls are answered at once because the servers do not answer: a binding's circuit, for all workers.
//!
//! Closed, it costs a call two relaxed loads. So many failures in a row within the window open it, and a probe
//! beside the requests asks the servers. Once they answer, it is half-open: one call at a time is tried, and
//! how that ends closes it or opens it again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_config::RedisCircuit as Settings;

/// From the first probe to the second; the next ones wait twice as long each.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// What a circuit is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CircuitState {
    /// Calls are made.
    Closed = 0,
    /// One call at a time is made.
    HalfOpen = 1,
    /// No call is made.
    Open = 2,
}

impl CircuitState {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// How a call ended, as the circuit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// The server answered, be it with an error.
    Answered,
    /// Not in time, or the server could not serve it.
    Failed,
    /// It says nothing of the server.
    Unknown,
}

/// What the end of a call changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is open now: probe.
    Opened,
    /// It is open again: probe, after [`Circuit::next_wait`].
    Reopened,
    /// It is closed again.
    Closed,
}

/// The circuit of one binding.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: Settings,
    state: AtomicU8,
    openings: AtomicU64,
    has_failures: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Those in a row and of the window, oldest first.
    failures: VecDeque<Instant>,
    /// Whether a call is tried.
    trying: bool,
    /// Before the last probe.
    waited: Duration,
}

/// Leave to make a call. Its end is told with [`Pass::end`]; one that is dropped has ended unknown.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    trial: bool,
}

impl Circuit {
    /// Closed.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: AtomicU8::new(CircuitState::Closed as u8),
            openings: AtomicU64::new(0),
            has_failures: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    /// What it is.
    pub(super) fn state(&self) -> CircuitState {
        match self.state.load(Ordering::Relaxed) {
            0 => CircuitState::Closed,
            1 => CircuitState::HalfOpen,
            _ => CircuitState::Open,
        }
    }

    /// How often it has opened from being closed: tells connections of before from later ones.
    pub(super) fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    /// Leave to make a call; `None` while it is open, and while another call is tried.
    pub(super) fn enter(&self) -> Option<Pass<'_>> {
        let pass = |trial| Pass {
            circuit: self,
            trial,
        };
        match self.state() {
            CircuitState::Closed => return Some(pass(false)),
            CircuitState::Open => return None,
            CircuitState::HalfOpen => {}
        }
        let mut inner = self.lock();
        // Another call may have ended since.
        match self.state() {
            CircuitState::Closed => Some(pass(false)),
            CircuitState::HalfOpen if !inner.trying => {
                inner.trying = true;
                Some(pass(true))
            }
            CircuitState::HalfOpen | CircuitState::Open => None,
        }
    }

    /// A probe was answered: the next call is tried.
    pub(super) fn probe_answered(&self) {
        let _inner = self.lock();
        if self.state() == CircuitState::Open {
            self.set(CircuitState::HalfOpen);
        }
    }

    /// From the start of the last probe to the next one.
    pub(super) fn next_wait(&self) -> Duration {
        let mut inner = self.lock();
        let wait = (inner.waited * 2).max(FIRST_WAIT);
        inner.waited = wait.min(self.settings.probe_every);
        inner.waited
    }

    fn end(&self, trial: bool, end: CallEnd, now: Instant) -> Option<Change> {
        if trial {
            return self.end_trial(end);
        }
        match end {
            CallEnd::Unknown => None,
            CallEnd::Answered => {
                if self.has_failures.load(Ordering::Relaxed) {
                    self.forget_failures(&mut self.lock());
                }
                None
            }
            CallEnd::Failed => self.count_failure(now),
        }
    }

    fn end_trial(&self, end: CallEnd) -> Option<Change> {
        let mut inner = self.lock();
        inner.trying = false;
        match end {
            CallEnd::Answered => {
                inner.waited = Duration::ZERO;
                self.forget_failures(&mut inner);
                self.set(CircuitState::Closed);
                Some(Change::Closed)
            }
            CallEnd::Failed => {
                self.set(CircuitState::Open);
                Some(Change::Reopened)
            }
            CallEnd::Unknown => None,
        }
    }

    fn count_failure(&self, now: Instant) -> Option<Change> {
        let mut inner = self.lock();
        if self.state() != CircuitState::Closed {
            // The call was made before it opened.
            return None;
        }
        while let Some(oldest) = inner.failures.front()
            && now.saturating_duration_since(*oldest) >= self.settings.window
        {
            inner.failures.pop_front();
        }
        inner.failures.push_back(now);
        self.has_failures.store(true, Ordering::Relaxed);
        if inner.failures.len() < self.settings.failures as usize {
            return None;
        }
        self.forget_failures(&mut inner);
        self.openings.fetch_add(1, Ordering::Relaxed);
        self.set(CircuitState::Open);
        Some(Change::Opened)
    }

    fn forget_failures(&self, inner: &mut Inner) {
        inner.failures.clear();
        self.has_failures.store(false, Ordering::Relaxed);
    }

    fn set(&self, state: CircuitState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The call has ended. What that changed, if anything.
    pub(super) fn end(mut self, end: CallEnd, now: Instant) -> Option<Change> {
        let change = self.circuit.end(self.trial, end, now);
        self.trial = false;
        change
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.circuit.lock().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        failures: 3,
        window: Duration::from_secs(10),
        probe_every: Duration::from_millis(150),
    };

    fn call(circuit: &Circuit, end: CallEnd, now: Instant) -> Option<Change> {
        circuit.enter().unwrap().end(end, now)
    }

    fn opened(now: Instant) -> Circuit {
        let circuit = Circuit::new(SETTINGS);
        assert_eq!(call(&circuit, CallEnd::Failed, now), None);
        assert_eq!(call(&circuit, CallEnd::Failed, now), None);
        assert_eq!(call(&circuit, CallEnd::Failed, now), Some(Change::Opened));
        circuit
    }

    #[test]
    fn failures_in_a_row_within_the_window_open_it() {
        let (circuit, start) = (Circuit::new(SETTINGS), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(call(&circuit, CallEnd::Failed, at(0)), None);
        assert_eq!(call(&circuit, CallEnd::Failed, at(5)), None);
        // The first has left the window.
        assert_eq!(call(&circuit, CallEnd::Failed, at(10)), None);
        assert_eq!(call(&circuit, CallEnd::Unknown, at(11)), None);
        assert_eq!(circuit.openings(), 0);
        let change = call(&circuit, CallEnd::Failed, at(12));
        assert_eq!(change, Some(Change::Opened));
        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(circuit.openings(), 1);
        assert!(circuit.enter().is_none());
    }

    #[test]
    fn an_answer_ends_the_row() {
        let (circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        for _ in 0..3 {
            assert_eq!(call(&circuit, CallEnd::Failed, now), None);
            assert_eq!(call(&circuit, CallEnd::Failed, now), None);
            assert_eq!(call(&circuit, CallEnd::Answered, now), None);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn after_a_probe_one_call_at_a_time_is_tried() {
        let now = Instant::now();
        let circuit = opened(now);
        circuit.probe_answered();
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        let trial = circuit.enter().unwrap();
        assert!(circuit.enter().is_none());
        assert_eq!(trial.end(CallEnd::Unknown, now), None);
        drop(circuit.enter().unwrap());
        let trial = circuit.enter().unwrap();
        assert_eq!(trial.end(CallEnd::Answered, now), Some(Change::Closed));
        assert_eq!(circuit.state(), CircuitState::Closed);
        // The failures that had opened it are forgotten.
        assert_eq!(call(&circuit, CallEnd::Failed, now), None);
    }

    #[test]
    fn a_trial_that_fails_opens_it_again() {
        let now = Instant::now();
        let circuit = opened(now);
        circuit.probe_answered();
        let change = call(&circuit, CallEnd::Failed, now);
        assert_eq!(change, Some(Change::Reopened));
        assert!(circuit.enter().is_none());
        assert_eq!(circuit.openings(), 1);
    }

    #[test]
    fn probes_come_less_and_less_often_until_it_closes() {
        let now = Instant::now();
        let circuit = opened(now);
        let waits = [50, 100, 150, 150].map(Duration::from_millis);
        assert_eq!([(); 4].map(|()| circuit.next_wait()), waits);
        circuit.probe_answered();
        call(&circuit, CallEnd::Answered, now);
        assert_eq!(circuit.next_wait(), FIRST_WAIT);
    }

    #[test]
    fn a_call_that_was_made_before_it_opened_changes_nothing() {
        let (circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        let late = [(); 3].map(|()| circuit.enter().unwrap());
        for _ in 0..3 {
            call(&circuit, CallEnd::Failed, now);
        }
        let [failed, answered, another] = late;
        assert_eq!(failed.end(CallEnd::Failed, now), None);
        assert_eq!(answered.end(CallEnd::Answered, now), None);
        assert_eq!(circuit.state(), CircuitState::Open);
        circuit.probe_answered();
        let trial = circuit.enter().unwrap();
        drop(another);
        assert!(circuit.enter().is_none());
        assert_eq!(trial.end(CallEnd::Answered, now), Some(Change::Closed));
    }
}
