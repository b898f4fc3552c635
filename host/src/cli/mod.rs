//! The command line: what `portcullis` can be told.

mod check;
mod control;
mod control_client;
mod inspect;
mod log;
mod open_files;
mod policy_test;
mod ready;
mod run;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use portcullis_config::{Config, ConfigErrors, LogFormat};

use crate::server::{self, StartError};
use crate::telemetry;
use crate::wasm::compile::child;
use crate::wasm::compile::compiler::CompilerSettings;
use crate::wasm::engine::Engines;

const EXAMPLES: &str = "\
Examples:
  portcullis run --config gateway.yaml            serve; SIGHUP reloads, Ctrl-C or SIGTERM drains and stops
  portcullis check --config gateway.yaml          every problem of the config and its policies; exit code 1 if any
  portcullis status                               what the gateway on this machine is doing
  portcullis policy inspect my-policy.wasm        hooks, imports, digest and manifest of a component
  portcullis policy test my.wasm cases/           run the policy's test cases, without a gateway
  portcullis policy push my-policy my.wasm        a new version for `component: store:my-policy`, served at once
  portcullis policy rollback my-policy            back to the version before
  portcullis log portcullis=debug,warn --for 10m  more of the gateway's log for a while
  portcullis schema > portcullis.schema.json      JSON Schema of the config, for editors";

#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about = "A programmable HTTP gateway", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a config until told to stop
    Run(ConfigArguments),
    /// Check a config with its policies, and start nothing
    Check(ConfigArguments),
    /// Show what a running gateway is doing; asks its control API
    Status(control_client::ControlArguments),
    /// Look at policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show every change of the policy store, and check that the chain of them holds
    Journal(store::Journal),
    /// Show which lines a running gateway logs, or change it; asks its control API
    Log(log::Log),
    /// Print the JSON Schema of the config
    Schema,
    /// Ask a running gateway whether it wants traffic; exit code 1 unless it does
    Ready(ready::Ready),
    /// Compile one policy for the gateway that has started this process
    #[command(hide = true)]
    CompilePolicy(CompileArguments),
}

#[derive(Debug, clap::Args)]
struct CompileArguments {
    /// CPU time that it may take
    #[arg(long)]
    cpu_seconds: u64,
    /// Memory that it may take
    #[arg(long)]
    memory_bytes: u64,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Show what a component exports, imports and says of itself; exit code 1 if it is no policy
    Inspect {
        /// A .wasm file, or builtin:NAME
        component: String,
    },
    /// Run a policy's test cases on its component, with a clock, keys, Redis and upstreams that are the cases' own;
    /// exit code 1 if one fails
    Test(policy_test::PolicyTest),
    /// Show the policies of a running gateway; asks its control API
    List(control_client::ControlArguments),
    /// Store a component as the next version of a policy in a running gateway, and have it serve
    Push(store::Push),
    /// Show the versions in a running gateway's policy store
    Versions(store::Versions),
    /// Have a stored version serve
    Activate(store::Activate),
    /// Have the version serve that did before the active one
    Rollback(store::RollBack),
    /// Delete versions that do not serve
    Delete(store::Delete),
}

#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// The config, in YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where compiled policies are kept between starts; must belong to this user alone
    /// [default: $XDG_CACHE_HOME/portcullis or ~/.cache/portcullis]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// The program of this process, also where its file was replaced since: a child is of the same version.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::CompilePolicy(bounds) = &arguments.command {
        return child::main(bounds.cpu_seconds, bounds.memory_bytes);
    }
    // Who runs another command reads what it says.
    let format = match &arguments.command {
        Command::Run(_) => LogFormat::Auto,
        _ => LogFormat::Human,
    };
    telemetry::log::start(format);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the control runtime does not start: {error}")),
    };
    let done = runtime.block_on(execute(arguments.command));
    // Not dropped: that would wait for a drain that a second signal has cut short.
    runtime.shutdown_background();
    telemetry::log::finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

async fn execute(command: Command) -> Result<(), String> {
    match command {
        Command::Run(arguments) => run::run(&arguments).await,
        Command::Check(arguments) => check::check(&arguments).await,
        Command::Policy(command) => execute_policy(command).await,
        Command::Status(arguments) => control::status(&arguments).await,
        Command::Journal(journal) => store::journal(&journal).await,
        Command::Ready(arguments) => ready::ready(&arguments).await,
        Command::Log(asked) => log::log(&asked).await,
        Command::CompilePolicy(_) => Ok(()),
        Command::Schema => {
            println!("{:#}", portcullis_config::json_schema());
            Ok(())
        }
    }
}

async fn execute_policy(command: PolicyCommand) -> Result<(), String> {
    match command {
        PolicyCommand::Inspect { component } => inspect::inspect(&component).await,
        PolicyCommand::Test(test) => policy_test::test(&test).await,
        PolicyCommand::List(arguments) => control::list_policies(&arguments).await,
        PolicyCommand::Push(push) => store::push(&push).await,
        PolicyCommand::Versions(versions) => store::versions(&versions).await,
        PolicyCommand::Activate(activate) => store::activate(&activate).await,
        PolicyCommand::Rollback(roll_back) => store::roll_back(&roll_back).await,
        PolicyCommand::Delete(delete) => store::delete(&delete).await,
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

impl ConfigArguments {
    /// The config, or all that is wrong with it, its policies included.
    async fn load(&self) -> Result<Config, String> {
        let errors = match portcullis_config::load(&self.config) {
            Ok(config) => return Ok(config),
            Err(errors) if errors.sound.policies.is_empty() => return Err(errors.to_string()),
            Err(errors) => errors,
        };
        match self.engines(Config::DEFAULT_POLICY_INSTANCES) {
            Ok(engines) => Err(server::check_on(errors, engines).await.to_string()),
            Err(message) => Err(format!("{errors}\n{message}")),
        }
    }

    fn engines(&self, instances: u32) -> Result<Arc<Engines>, String> {
        let cache = self
            .cache
            .clone()
            .or_else(default_cache)
            .and_then(own_directory);
        Engines::start(CompilerSettings::new(OWN_PROGRAM, cache), instances)
            .map(Arc::new)
            .map_err(|error| format!("portcullis: {error}"))
    }

    fn explain(&self, error: StartError) -> String {
        match error {
            StartError::Config(problems) => ConfigErrors::new(&self.config, problems).to_string(),
            other => format!("portcullis: {other}"),
        }
    }
}

fn default_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base =
        base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    base.is_absolute().then(|| base.join("portcullis"))
}

/// The directory, made if it is missing, if nobody else can write to it: what lies there is run.
fn own_directory(path: PathBuf) -> Option<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    if let Err(error) = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
    {
        tracing::warn!(
            "compiled policies are not kept: {}: {error}",
            path.display()
        );
        return None;
    }
    let metadata = std::fs::metadata(&path).ok()?;
    // The owner of its entry in /proc is the user that a process runs as.
    let is_ours =
        std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == metadata.uid());
    if !is_ours {
        tracing::warn!(
            "compiled policies are not kept: {} belongs to another user",
            path.display()
        );
        return None;
    }
    let others_may_write = metadata.mode() & 0o022 != 0;
    if others_may_write {
        tracing::warn!(
            "compiled policies are not kept: {} is writable by others; chmod 700 it",
            path.display()
        );
        return None;
    }
    Some(path)
}
