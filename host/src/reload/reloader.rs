//! Reads the config again and says what came of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use portcullis_config::{Config, ConfigErrors};

use super::sight::{Content, Sight};
use crate::server::Running;

/// Knows which config was started with, and which one serves.
pub struct Reloader {
    path: PathBuf,
    /// Some of it stays until a restart.
    started: Config,
    serving: Config,
    content: Content,
}

impl Reloader {
    /// The config at `path`, started with as it is, was seen as `sight`.
    pub fn new(path: PathBuf, started: Config, sight: &Sight) -> Self {
        Self {
            path,
            serving: started.clone(),
            started,
            content: sight.content.clone(),
        }
    }

    /// Whether the serving config wants its files watched.
    pub fn watches(&self) -> bool {
        self.serving.watch
    }

    /// Serves what was seen, if it is sound and another than before. The text, if it serves now.
    pub async fn reload(&mut self, sight: Sight, running: &Running) -> Option<String> {
        if sight.content == self.content {
            self.unchanged(running);
            return None;
        }
        let parsed = match &sight.text {
            Ok(text) => portcullis_config::parse(text, &self.path),
            Err(errors) => Err(errors.clone()),
        };
        let config = match parsed {
            Ok(config) => config,
            Err(errors) => {
                refuse(&running.check_on(errors).await);
                return None;
            }
        };
        if config == self.serving && sight.content.named == self.content.named {
            self.unchanged(running);
        } else if let Err(errors) = self.serve(&config, running).await {
            refuse(&errors);
            return None;
        }
        self.serving = config;
        self.content = sight.content;
        sight.text.ok()
    }

    async fn serve(&self, config: &Config, running: &Running) -> Result<(), ConfigErrors> {
        for part in needs_restart(&self.started, config) {
            tracing::warn!(
                "{part}: changed in the config, but as it was at the start; restart to change it"
            );
        }
        let reloaded = running.reload(config).await;
        let revision = reloaded.map_err(|problems| ConfigErrors::new(&self.path, problems))?;
        tracing::info!("revision {revision} of the config serves");
        Ok(())
    }

    fn unchanged(&self, running: &Running) {
        running.unchanged();
        tracing::info!("reload: the config says what it said before; nothing changes");
    }
}

fn refuse(errors: &ConfigErrors) {
    tracing::error!("reload refused, the old config serves on:\n{errors}");
}

/// What is bound at the start; other settings of a listener are those of the latest config.
fn addresses(config: &Config) -> Vec<(&str, SocketAddr)> {
    let listeners = config.listeners.iter();
    listeners
        .map(|listener| (listener.name.as_str(), listener.address))
        .collect()
}

fn metrics_address(config: &Config) -> Option<SocketAddr> {
    config.metrics.as_ref().map(|metrics| metrics.address)
}

/// What a reload does not change.
fn needs_restart(started: &Config, config: &Config) -> impl Iterator<Item = &'static str> {
    let changed = [
        (
            "addresses of listeners",
            addresses(started) != addresses(config),
        ),
        (
            "metrics.address",
            metrics_address(started) != metrics_address(config),
        ),
        ("control", started.control != config.control),
        ("policy_store", started.policy_store != config.policy_store),
        (
            "policy_instances",
            started.policy_instances != config.policy_instances,
        ),
        ("workers", started.workers != config.workers),
        (
            "drain_timeout",
            started.drain_timeout != config.drain_timeout,
        ),
        ("drain_delay", started.drain_delay != config.drain_delay),
    ];
    changed
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(part, _)| part)
}
