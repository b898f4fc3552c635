//! `portcullis run`.

use tokio::signal::unix::{Signal, SignalKind, signal};

use portcullis_config::Config;

use super::{ConfigArguments, open_files};
use crate::reload::file_watch::FileWatch;
use crate::reload::reloader::Reloader;
use crate::server::{self, Running};
use crate::telemetry;

/// Serves until SIGINT or SIGTERM; SIGHUP and a change of the config's files read it again.
pub(super) async fn run(arguments: &ConfigArguments) -> Result<(), String> {
    let mut files = FileWatch::start(&arguments.config);
    let seen = files.look();
    let config = arguments.load().await?;
    telemetry::log::configure(&config.log);
    let mut signals = Signals::catch().map_err(|error| format!("portcullis: signals: {error}"))?;
    open_files::raise(&config.limits);
    let started = tokio::select! {
        started = server::start(&config, arguments.engines(config.policy_instances)?) => started,
        () = stop(&mut signals.interrupt, &mut signals.terminate) => return Ok(()),
    };
    let running = started.map_err(|error| arguments.explain(error))?;
    announce(&config, &running);
    let drain_timeout = config.drain_timeout;
    let mut reloader = Reloader::new(arguments.config.clone(), config, &seen);
    loop {
        let seen = tokio::select! {
            _ = signals.hangup.recv() => {
                running.reopen_access_log();
                files.look()
            }
            seen = files.rested(), if reloader.watches() => seen,
            () = stop(&mut signals.interrupt, &mut signals.terminate) => break,
        };
        tokio::select! {
            served = reloader.reload(seen, &running) => if let Some(text) = served {
                files.serves(&text);
            },
            () = stop(&mut signals.interrupt, &mut signals.terminate) => break,
        }
    }
    tracing::info!(
        "draining: requests in flight have {drain_timeout:?}; a second signal stops at once"
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

fn announce(config: &Config, running: &Running) {
    for (name, address) in &running.addresses {
        let listener = config
            .listeners
            .iter()
            .find(|listener| listener.name == *name);
        let is_tls = listener.is_some_and(|listener| listener.tls.is_some());
        let scheme = if is_tls { "https" } else { "http" };
        tracing::info!("listener {name:?} serves on {scheme}://{address}");
    }
    if let Some(address) = running.metrics_address {
        tracing::info!("metrics on http://{address}/metrics");
    }
    if let (Some(address), Some(control)) = (running.control_address, &config.control) {
        let tokens = control.token_file.display();
        tracing::info!("control API on http://{address}/api/v1, with a token of {tokens}");
    }
}
