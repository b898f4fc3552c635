//! Runs services: starts each after what it depends on, watches its health, restarts it when it crashes, stops all in order.
//!
//! One way through: `cli` reads the files of services ([`stack`]), `run` looks whether everything is in place (`preflight`), gives each
//! service a `supervisor`, and waits for signals. What a service *is* stays behind `process`: child processes here; another kind of
//! service would stand beside it, with the same reports to a supervisor and the same orders from it.
//!
//! A child process has a *keeper* between it and the agent (`process::keeper`): that is what makes sure that nothing is left when
//! the agent is gone, however it went.

pub mod cli;
pub mod stack;

mod backoff;
mod health;
mod line_reader;
mod log_tail;
mod output;
mod preflight;
mod process;
mod run;
mod signals;
mod status;
mod supervisor;
