//! What a service is doing, as its supervisor tells it.

use std::fmt;
use std::time::Duration;

/// A service at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Its process, while there is one.
    pub(crate) pid: Option<u32>,
    /// How often it was started again.
    pub(crate) restarts: u32,
}

/// What it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not all that it depends on is healthy.
    Waiting,
    /// It runs, and was not healthy yet.
    Starting,
    /// It runs; its health check passes, or it has none.
    Healthy,
    /// It runs, and its health check has failed several times.
    Unhealthy,
    /// It crashed and will be started again after this pause.
    BackingOff(Duration),
    /// It crashed too often.
    GaveUp,
    /// It ended by itself, and well.
    Ended,
    /// It was told to stop.
    Stopping,
    /// It was stopped, or never started before everything was.
    Stopped,
}

impl Status {
    /// Of a service that nobody has started yet.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Waiting,
            pid: None,
            restarts: 0,
        }
    }
}

impl State {
    /// Whether nothing of it runs or will run.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::GaveUp | Self::Ended | Self::Stopped)
    }

    /// Whether what depends on it may start.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self, Self::Healthy | Self::Ended)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("waiting for what it depends on"),
            Self::Starting => f.write_str("starting"),
            Self::Healthy => f.write_str("healthy"),
            Self::Unhealthy => f.write_str("unhealthy"),
            Self::BackingOff(pause) => write!(f, "to be restarted in {pause:?}"),
            Self::GaveUp => f.write_str("given up"),
            Self::Ended => f.write_str("ended"),
            Self::Stopping => f.write_str("stopping"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
