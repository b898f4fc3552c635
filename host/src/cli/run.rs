//! `portcullis run`.

use tokio::signal::unix::{Signal, SignalKind, signal};

use portcullis_config::Config;

use super::{ConfigArguments, open_files};
use crate::server::{self, Running};

/// Serves until SIGINT or SIGTERM; SIGHUP reads the config again.
pub(super) async fn run(arguments: &ConfigArguments) -> Result<(), String> {
    let config = arguments.load().await?;
    let mut signals = Signals::catch().map_err(|error| format!("portcullis: signals: {error}"))?;
    open_files::raise(&config.limits);
    let started = tokio::select! {
        started = server::start(&config, arguments.engines()?) => started,
        () = stop(&mut signals.interrupt, &mut signals.terminate) => return Ok(()),
    };
    let running = started.map_err(|error| arguments.explain(error))?;
    announce(&running);
    loop {
        tokio::select! {
            _ = signals.hangup.recv() => {}
            () = stop(&mut signals.interrupt, &mut signals.terminate) => break,
        }
        tokio::select! {
            () = reload(arguments, &config, &running) => {}
            () = stop(&mut signals.interrupt, &mut signals.terminate) => break,
        }
    }
    tracing::info!(
        "draining: requests in flight have {:?}; a second signal stops at once",
        config.drain_timeout
    );
    tokio::select! {
        () = running.stop() => {}
        () = stop(&mut signals.interrupt, &mut signals.terminate) => {}
    }
    tracing::info!("stopped");
    Ok(())
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Ends when the process is told to stop.
async fn stop(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn announce(running: &Running) {
    for (name, address) in &running.addresses {
        tracing::info!("listener {name:?} serves on http://{address}");
    }
    if let Some(address) = running.metrics_address {
        tracing::info!("metrics on http://{address}/metrics");
    }
}

async fn reload(arguments: &ConfigArguments, started: &Config, running: &Running) {
    let config = match portcullis_config::load(&arguments.config) {
        Ok(config) => config,
        Err(errors) => {
            let errors = running.check_on(errors).await;
            return tracing::error!("reload refused, the old config serves on:\n{errors}");
        }
    };
    for part in needs_restart(started, &config) {
        tracing::warn!(
            "{part}: changed in the config, but as it was at the start; restart to change it"
        );
    }
    match running.reload(&config).await {
        Ok(revision) => tracing::info!("revision {revision} of the config serves"),
        Err(problems) => {
            let problems = portcullis_config::ConfigErrors::new(&arguments.config, problems);
            tracing::error!("reload refused, the old config serves on:\n{problems}");
        }
    }
}

/// What a reload does not change.
fn needs_restart(started: &Config, config: &Config) -> impl Iterator<Item = &'static str> {
    let changed = [
        ("listeners", started.listeners != config.listeners),
        ("metrics", started.metrics != config.metrics),
        ("workers", started.workers != config.workers),
        (
            "drain_timeout",
            started.drain_timeout != config.drain_timeout,
        ),
    ];
    changed
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(part, _)| part)
}
