//! When a use of a policy that keeps failing is left alone: its fault circuit, for all workers.
//!
//! Closed, it costs each hook one relaxed load. After so many faults within the window it opens: the
//! guest is not called. When it has been open long enough, one hook at a time probes; it closes once
//! the hook that had opened it ends well, and opens again with any fault.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portcullis_config::FaultCircuit as Settings;

use crate::wasm::Phase;

/// What the circuit of a use is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CircuitState {
    /// Hooks are called.
    Closed = 0,
    /// One hook at a time is called.
    HalfOpen = 1,
    /// No hook is called.
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

/// How a hook ended, as the circuit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEnd {
    /// It answered.
    Well,
    /// A fault of the policy.
    Fault,
    /// It says nothing of the policy: the client went away, no sandbox was free, the request had no time.
    Unknown,
}

/// A change that is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// From now on hooks are not called.
    Opened,
    /// From now on they are called again.
    Closed,
}

/// The circuit of one use of a policy.
#[derive(Debug)]
pub struct FaultCircuit {
    settings: Settings,
    state: AtomicU8,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Those of the window, oldest first; at most `settings.faults`.
    faults: VecDeque<Instant>,
    /// When, and by which hook.
    opened: Option<(Instant, Phase)>,
    probing: bool,
}

/// Leave to call a hook. Its end is told with [`Pass::end`]; one that is dropped has ended unknown.
#[derive(Debug)]
pub struct Pass<'a> {
    circuit: &'a FaultCircuit,
    phase: Phase,
    probe: bool,
}

impl FaultCircuit {
    /// Closed.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: AtomicU8::new(CircuitState::Closed as u8),
            inner: Mutex::default(),
        }
    }

    /// What it is.
    pub fn state(&self) -> CircuitState {
        match self.state.load(Ordering::Relaxed) {
            0 => CircuitState::Closed,
            1 => CircuitState::HalfOpen,
            _ => CircuitState::Open,
        }
    }

    /// Leave to call this hook; `None` while the circuit is open, and while another hook probes. The
    /// clock is read only if the circuit is not closed.
    pub fn enter(&self, phase: Phase, now: impl FnOnce() -> Instant) -> Option<Pass<'_>> {
        let pass = |probe| Pass {
            circuit: self,
            phase,
            probe,
        };
        if self.state.load(Ordering::Relaxed) == CircuitState::Closed as u8 {
            return Some(pass(false));
        }
        let mut inner = self.lock();
        let Some((opened, _)) = inner.opened else {
            return Some(pass(false));
        };
        let rested = now().saturating_duration_since(opened) >= self.settings.open_for;
        if inner.probing || !rested {
            return None;
        }
        inner.probing = true;
        self.set(CircuitState::HalfOpen);
        Some(pass(true))
    }

    fn end(&self, pass: &Pass<'_>, end: HookEnd, now: Instant) -> Option<Change> {
        // The usual case takes no lock.
        if !pass.probe && end != HookEnd::Fault {
            return None;
        }
        let mut inner = self.lock();
        if pass.probe {
            inner.probing = false;
            return match end {
                HookEnd::Fault => Some(self.open(&mut inner, pass.phase, now)),
                HookEnd::Well if inner.opened.is_some_and(|(_, by)| by == pass.phase) => {
                    inner.opened = None;
                    self.set(CircuitState::Closed);
                    Some(Change::Closed)
                }
                HookEnd::Well | HookEnd::Unknown => None,
            };
        }
        if inner.opened.is_some() {
            // It was called before the circuit opened.
            return None;
        }
        while let Some(oldest) = inner.faults.front()
            && now.saturating_duration_since(*oldest) >= self.settings.window
        {
            inner.faults.pop_front();
        }
        inner.faults.push_back(now);
        let enough = inner.faults.len() >= self.settings.faults as usize;
        enough.then(|| self.open(&mut inner, pass.phase, now))
    }

    fn open(&self, inner: &mut Inner, phase: Phase, now: Instant) -> Change {
        inner.opened = Some((now, phase));
        inner.faults.clear();
        self.set(CircuitState::Open);
        Change::Opened
    }

    fn set(&self, state: CircuitState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The hook has ended; the clock is read only if that matters. What it changed, if anything.
    pub fn end(mut self, end: HookEnd, now: impl FnOnce() -> Instant) -> Option<Change> {
        if !self.probe && end != HookEnd::Fault {
            return None;
        }
        let change = self.circuit.end(&self, end, now());
        self.probe = false;
        change
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.circuit.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SETTINGS: Settings = Settings {
        faults: 3,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(30),
    };

    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn fixture() -> (FaultCircuit, Clock) {
        (FaultCircuit::new(SETTINGS), Clock(Instant::now()))
    }

    fn call(
        circuit: &FaultCircuit,
        phase: Phase,
        end: HookEnd,
        now: Instant,
    ) -> Option<Option<Change>> {
        let pass = circuit.enter(phase, || now)?;
        Some(pass.end(end, || now))
    }

    fn opened(clock: &Clock) -> FaultCircuit {
        let circuit = FaultCircuit::new(SETTINGS);
        for _ in 0..3 {
            call(&circuit, Phase::OnRequest, HookEnd::Fault, clock.at(0)).unwrap();
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        circuit
    }

    #[test]
    fn so_many_faults_within_the_window_open_it() {
        let (circuit, clock) = fixture();
        let fault = |second| {
            let now = clock.at(second);
            call(&circuit, Phase::OnRequest, HookEnd::Fault, now)
        };
        assert_eq!(fault(0), Some(None));
        assert_eq!(fault(5), Some(None));
        // The first has left the window.
        assert_eq!(fault(10), Some(None));
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert_eq!(fault(14), Some(Some(Change::Opened)));
        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(fault(43), None);
    }

    #[test]
    fn successes_between_do_not_count() {
        let (circuit, clock) = fixture();
        let ends = [
            HookEnd::Fault,
            HookEnd::Well,
            HookEnd::Unknown,
            HookEnd::Fault,
        ];
        for end in ends {
            assert_eq!(
                call(&circuit, Phase::OnRequest, end, clock.at(1)),
                Some(None)
            );
        }
        let third = call(&circuit, Phase::OnResponse, HookEnd::Fault, clock.at(2));
        assert_eq!(third, Some(Some(Change::Opened)));
    }

    #[test]
    fn one_at_a_time_probes_and_success_closes_it() {
        let clock = Clock(Instant::now());
        let circuit = opened(&clock);
        assert!(circuit.enter(Phase::OnRequest, || clock.at(29)).is_none());
        let probe = circuit.enter(Phase::OnRequest, || clock.at(30)).unwrap();
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert!(circuit.enter(Phase::OnRequest, || clock.at(31)).is_none());
        let change = probe.end(HookEnd::Well, || clock.at(31));
        assert_eq!(change, Some(Change::Closed));
        assert_eq!(circuit.state(), CircuitState::Closed);
        // The faults that had opened it are forgotten.
        let next = call(&circuit, Phase::OnRequest, HookEnd::Fault, clock.at(31));
        assert_eq!(next, Some(None));
    }

    #[test]
    fn a_fault_of_a_probe_opens_it_for_as_long_again() {
        let clock = Clock(Instant::now());
        let circuit = opened(&clock);
        let probed = call(&circuit, Phase::OnRequest, HookEnd::Fault, clock.at(40));
        assert_eq!(probed, Some(Some(Change::Opened)));
        assert!(circuit.enter(Phase::OnRequest, || clock.at(69)).is_none());
        assert!(circuit.enter(Phase::OnRequest, || clock.at(70)).is_some());
    }

    #[test]
    fn a_probe_that_is_given_up_lets_another_probe() {
        let clock = Clock(Instant::now());
        let circuit = opened(&clock);
        drop(circuit.enter(Phase::OnRequest, || clock.at(30)).unwrap());
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        let unknown = call(&circuit, Phase::OnRequest, HookEnd::Unknown, clock.at(30));
        assert_eq!(unknown, Some(None));
        let well = call(&circuit, Phase::OnRequest, HookEnd::Well, clock.at(30));
        assert_eq!(well, Some(Some(Change::Closed)));
    }

    #[test]
    fn only_the_hook_that_opened_it_closes_it() {
        let clock = Clock(Instant::now());
        let circuit = FaultCircuit::new(SETTINGS);
        for _ in 0..3 {
            call(&circuit, Phase::OnResponse, HookEnd::Fault, clock.at(0)).unwrap();
        }
        let other = call(&circuit, Phase::OnRequest, HookEnd::Well, clock.at(30));
        assert_eq!(other, Some(None));
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        let same = call(&circuit, Phase::OnResponse, HookEnd::Well, clock.at(30));
        assert_eq!(same, Some(Some(Change::Closed)));
    }

    #[test]
    fn a_hook_that_was_called_before_it_opened_changes_nothing() {
        let (circuit, clock) = fixture();
        let late = [
            circuit.enter(Phase::OnRequest, || clock.at(0)).unwrap(),
            circuit.enter(Phase::OnRequest, || clock.at(0)).unwrap(),
        ];
        for _ in 0..3 {
            call(&circuit, Phase::OnRequest, HookEnd::Fault, clock.at(0)).unwrap();
        }
        let [fault, well] = late;
        assert_eq!(fault.end(HookEnd::Fault, || clock.at(29)), None);
        assert_eq!(well.end(HookEnd::Well, || clock.at(29)), None);
        assert_eq!(circuit.state(), CircuitState::Open);
        assert!(circuit.enter(Phase::OnRequest, || clock.at(30)).is_some());
    }
}
