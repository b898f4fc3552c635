//! The `mock-service` binary: one mock service, or load for another server, until Ctrl-C or SIGTERM.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mock_service::load::{self, LoadArguments};
use mock_service::{MockService, Settings, ready};
use tokio::signal::unix::{SignalKind, signal};

/// How many requests `/_mock/attempts` can show.
const KEPT_REQUESTS: usize = 1_000;

/// A scripted upstream: echoes every request; some paths fail, delay, truncate or stream.
/// See mock-service/README.md for the paths.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    /// What the service calls itself in its answers.
    #[arg(long, default_value = "mock-service")]
    name: String,
    /// Do not print a line for each request.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a running service for /health; exit code 1 unless it answers 200.
    Ready {
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
        at: SocketAddr,
    },
    Load(LoadArguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mock-service: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    if let Some(Command::Ready { at }) = arguments.command {
        return ready(at);
    }
    // Before we say that we listen, so that no signal after that line is missed.
    let no_signals = |error: io::Error| format!("cannot listen for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    match arguments.command {
        Some(Command::Load(load)) => load::run(load, stop).await,
        Some(Command::Ready { .. }) | None => serve(arguments, stop).await,
    }
}

async fn serve(arguments: Arguments, stop: impl Future<Output = ()>) -> Result<(), String> {
    let service = MockService::with(Settings {
        listen: arguments.listen,
        name: arguments.name,
        kept_requests: KEPT_REQUESTS,
        keeps_bodies: false,
        prints_requests: !arguments.quiet,
    })
    .await
    .map_err(|error| cannot_listen(arguments.listen, &error))?;
    // Nobody reads our output: no reason not to serve.
    let _ = writeln!(io::stdout(), "mock-service listens on {}", service.url());

    stop.await;
    service.stop().await;
    Ok(())
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the process that listens there, or choose another port with --listen"
        }
        io::ErrorKind::PermissionDenied => "choose a port from 1024 with --listen",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine with --listen",
        _ => "choose another address with --listen",
    };
    format!("cannot listen on {address}: {error}; {remedy}")
}
