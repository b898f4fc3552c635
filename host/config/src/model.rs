//! The validated config: what the gateway runs by. Everything in it has been checked, and names refer
//! to things that exist.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::client::{ClientLimits, ClientTimeouts};
use ipnet::IpNet;

use crate::control::Control;
use crate::listener::Listener;
use crate::log::Log;
use crate::otlp::{Otlp, Tracing};
use crate::path::Lines;
use crate::path_normalisation::PathNormalisation;
use crate::policy::Policy;
use crate::policy_store::PolicyStore;
use crate::redis::RedisBinding;
use crate::resilience::Dns;
use crate::route::Route;
use crate::secret::Secret;
use crate::upstream::Upstream;

/// A valid config. Two of them are equal when they mean the same, wherever it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sockets that accept requests: at least one; names and addresses are unique (port 0 may repeat).
    pub listeners: Vec<Listener>,
    /// Where metrics are served. `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// Where the control API is served. `None`: nowhere.
    pub control: Option<Control>,
    /// Where versions of policies are kept. `None`: nowhere.
    pub policy_store: Option<PolicyStore>,
    /// Worker threads, 1 to 256. `None`: as many as the machine has cores.
    pub workers: Option<usize>,
    /// Instances of policies that may be live at once: 10 to 10,000, which is the default.
    pub policy_instances: u32,
    /// How long requests in flight may take to finish when the gateway stops: 0 to 1 hour, default 10 s.
    pub drain_timeout: Duration,
    /// What clients may send and hold.
    pub limits: ClientLimits,
    /// How long clients may take over a step.
    pub timeouts: ClientTimeouts,
    /// How paths are brought to one spelling before routes, policies and upstreams see them.
    pub path_normalisation: PathNormalisation,
    /// Peers in these networks may speak for other clients (`X-Forwarded-For` and its like). Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// The gateway's pseudonym in `Via` (RFC 9110 §7.6.3), a token; default `portcullis`. `None`: no such field.
    pub via: Option<String>,
    /// How long the gateway still takes connections when it is told to stop, with `/readyz` failing:
    /// 0 to 10 minutes, default 0.
    pub drain_delay: Duration,
    /// Whether a change of the config's file, or of one that it names, is a reload. Default yes.
    pub watch: bool,
    /// Where each request leaves a line. `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// Where telemetry is sent. `None`: nowhere.
    pub otlp: Option<Otlp>,
    /// Which requests are traced; with it there is [`Config::otlp`]. `None`: none, and fields of W3C Trace Context pass as
    /// they are.
    pub tracing: Option<Tracing>,
    /// The gateway's own log.
    pub log: Log,
    /// Redis servers, by the name that grants use.
    pub redis: BTreeMap<String, RedisBinding>,
    /// What policies may be granted to read, by the name that grants use: each of 1 byte to 64 KiB.
    pub secrets: BTreeMap<String, Secret>,
    /// Where the host names of endpoints are looked up.
    pub dns: Dns,
    /// Services behind the gateway, by the name that routes use.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Policies, by the name that routes use.
    pub policies: BTreeMap<String, Policy>,
    /// Routes in the order of the file. No two have the same match.
    pub routes: Vec<Route>,
    /// Where each part of the config is written.
    pub lines: Lines,
}

impl Config {
    /// Of [`Config::policy_instances`].
    pub const DEFAULT_POLICY_INSTANCES: u32 = 10_000;

    /// Of [`Config::drain_timeout`].
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    /// Of [`Config::via`].
    pub const DEFAULT_VIA: &'static str = "portcullis";

    /// The line of `path` (such as `routes[0].upstream`), or of the nearest thing around it.
    pub fn locate(&self, path: &str) -> Option<usize> {
        self.lines.locate(path)
    }
}

/// The listener for `/metrics`, `/healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Differs from those of the listeners.
    pub address: SocketAddr,
    /// How old a page of `/metrics` may be that is given to another who asks: 0s to 1m,
    /// [`Metrics::DEFAULT_MAX_AGE`] if left out.
    pub max_age: Duration,
    /// How often they are sent to [`Config::otlp`] as well, which then is there: 1 s to 1 hour, 15 s if nothing is
    /// written. `None`: never.
    pub push: Option<Duration>,
}

impl Metrics {
    /// Of [`Metrics::max_age`].
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(1);
    /// Of [`Metrics::push`]: as often as Prometheus is usually told to scrape.
    pub const DEFAULT_PUSH_INTERVAL: Duration = Duration::from_secs(15);
}
