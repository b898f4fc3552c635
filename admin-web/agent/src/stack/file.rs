//! The format of a file of services, as serde and schemars see it. Its JSON Schema refuses unknown keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portcullis_config::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// Services that run together.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct StackFile {
    /// What relative paths in this file start from; itself relative to the file's own directory, which it is if left out.
    pub(super) directory: Option<PathBuf>,
    /// By name. They are started in the order of `depends_on`, and stopped the other way round.
    #[schemars(extend("minProperties" = 1))]
    pub(super) services: BTreeMap<String, ServiceFile>,
    /// What is printed once every service is healthy.
    pub(super) hint: Option<String>,
}

/// One service.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ServiceFile {
    /// The program and its arguments, without a shell. A program with a `/` is a path, another one is looked for in `PATH`.
    #[schemars(length(min = 1))]
    pub(super) command: Vec<String>,
    /// A command that must succeed before any service is started, such as one that checks this one's config.
    #[schemars(length(min = 1))]
    pub(super) check: Option<Vec<String>>,
    /// Where it runs.
    pub(super) directory: Option<PathBuf>,
    /// Environment variables, in addition to the agent's own and to those of `env_file`.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// A file of `NAME=value` lines.
    pub(super) env_file: Option<PathBuf>,
    /// Addresses that it listens on, such as `127.0.0.1:8080`; that of `health` is one of them by itself. They must be free at the start.
    #[serde(default)]
    pub(super) listens: Vec<String>,
    /// How to see that it is well. A service without is healthy while it runs.
    pub(super) health: Option<HealthFile>,
    /// Services that must be healthy before this one is started.
    #[serde(default)]
    pub(super) depends_on: Vec<String>,
    /// When it is started again after a crash.
    #[serde(default)]
    pub(super) restart: RestartFile,
    /// How it is stopped.
    #[serde(default)]
    pub(super) stop: StopFile,
    /// How many of its last lines are kept: 200 if left out.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) log_lines: Option<usize>,
}

/// One of `url` and `tcp`, and when to look.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HealthFile {
    /// Is to answer GET with a status from 200 to 299; `http` only.
    pub(super) url: Option<String>,
    /// Is to accept a connection: `127.0.0.1:6379`.
    pub(super) tcp: Option<String>,
    /// Between two looks: 1s if left out. While the service starts, it is looked at more often.
    pub(super) interval: Option<DurationText>,
    /// How long one look may take: 1s if left out.
    pub(super) timeout: Option<DurationText>,
    /// By when it must be healthy after its start: 30s if left out. Then it is stopped, which counts as a crash.
    pub(super) start_timeout: Option<DurationText>,
}

/// A pause after each crash, twice as long as the one before. A service that ends with exit code 0 has not crashed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RestartFile {
    /// The first pause: 500ms if left out.
    pub(super) base: Option<DurationText>,
    /// The longest pause: 30s if left out.
    pub(super) cap: Option<DurationText>,
    /// After so long in good health, a crash counts as the first again: 30s if left out.
    pub(super) reset_after: Option<DurationText>,
    /// So many crashes in a row are the end of it: 6 if left out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) give_up_after: Option<u32>,
}

/// First a signal to its process, then SIGKILL to all that is left of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct StopFile {
    /// TERM if left out.
    pub(super) signal: Option<SignalName>,
    /// How long it has before SIGKILL: 10s if left out.
    pub(super) grace: Option<DurationText>,
}

/// Signals that ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum SignalName {
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Kill,
}
