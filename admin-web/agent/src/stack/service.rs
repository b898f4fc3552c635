//! One service, as its file means it: every path is whole, every default filled in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::backoff::Restart;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// As other services and log lines call it.
    pub name: String,
    /// The program, as a path, and its arguments.
    pub command: Vec<OsString>,
    /// Must succeed before anything is started; like `command`.
    pub check: Option<Vec<OsString>>,
    /// Where it runs.
    pub directory: PathBuf,
    /// In addition to the agent's own environment.
    pub env: BTreeMap<String, String>,
    /// What must be free before it is started.
    pub listens: Vec<SocketAddr>,
    /// How to see that it is well; `None`: it is healthy while it runs.
    pub health: Option<Health>,
    /// Indices of services that must be healthy first.
    pub depends_on: Vec<usize>,
    /// When it is started again.
    pub restart: Restart,
    /// How it is stopped.
    pub stop: Stop,
    /// How many of its last lines are kept.
    pub log_lines: usize,
}

/// How to see that a service is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes.
    pub interval: Duration,
    /// Of one probe.
    pub timeout: Duration,
    /// By when the first must have passed.
    pub start_timeout: Duration,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// GET, answered with a status from 200 to 299.
    Http {
        /// `host:port`.
        authority: String,
        /// With the query.
        path: String,
    },
    /// A connection to `host:port`.
    Tcp(String),
}

/// How a service is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// What its process gets first.
    pub signal: Signal,
    /// How long it has before all that is left of it gets SIGKILL.
    pub grace: Duration,
}
