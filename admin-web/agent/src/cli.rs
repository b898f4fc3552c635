//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::Signal;

use crate::process::{keeper, starter};
use crate::{run, stack};

/// Runs the services that YAML files describe, and leaves none behind. See admin-web/agent/README.md for their format.
#[derive(Debug, Parser)]
#[command(name = "portcullis-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the services and stay with them; Ctrl-C or SIGTERM stops them in order, a second one kills them.
    Run {
        /// Files of services; together they make one stack.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say every problem of the files; exit code 1 if there is one.
    Check {
        /// Files of services; together they make one stack.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// What stands between the agent and a service. Not for people.
    #[command(hide = true)]
    Keep {
        name: String,
        stop_signal: i32,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// What a keeper starts to become the service. Not for people.
    #[command(hide = true)]
    Start {
        keeper: i32,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

/// The whole program.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { files } => told(stack::load(&files).and_then(stay)),
        Command::Check { files } => told(stack::load(&files).map(|stack| {
            println!("ok: {} services", stack.services.len());
            ExitCode::SUCCESS
        })),
        Command::Keep {
            name,
            stop_signal,
            command,
        } => {
            let stop_signal = Signal::from_named_raw(stop_signal).unwrap_or(Signal::TERM);
            keeper::keep(&name, stop_signal, &command)
        }
        Command::Start { keeper, command } => starter::start(keeper, &command),
    }
}

fn told(done: Result<ExitCode, String>) -> ExitCode {
    done.unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::FAILURE
    })
}

/// One thread is enough for all of them.
fn stay(stack: stack::Stack) -> Result<ExitCode, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?
        .block_on(run::run(stack))
}
