//! Runs a stack until it is told to stop, or nothing of it runs.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::log_tail::LogTail;
use crate::output::{Output, Voice};
use crate::preflight;
use crate::signals::Signals;
use crate::stack::{Service, Stack};
use crate::status::{State, Status};
use crate::supervisor::{Supervisor, Wish};

/// How much of what a service said last is shown when it is given up.
const LAST_WORDS: usize = 10;

/// A stack that runs.
struct Running {
    stack: Stack,
    output: Output,
    agent: Voice,
    wish: watch::Sender<Wish>,
    statuses: Vec<watch::Receiver<Status>>,
    /// A service's state is another.
    changed: Arc<Notify>,
    tails: Vec<LogTail>,
    supervisors: JoinSet<()>,
    started: Instant,
}

/// Starts every service, and stays until all of them are over.
///
/// # Errors
/// What is wrong before anything is started.
pub(crate) async fn run(stack: Stack) -> Result<ExitCode, String> {
    let mut signals = Signals::catch().map_err(|error| format!("no signals: {error}"))?;
    tokio::select! {
        looked = preflight::look(&stack) => looked?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    }
    let names = stack.services.iter().map(|service| service.name.as_str());
    let (output, writer) = Output::start(names);
    let exit = Running::start(stack, output).stay(&mut signals).await;
    writer.finish();
    Ok(exit)
}

impl Running {
    fn start(stack: Stack, output: Output) -> Self {
        let services = &stack.services;
        let (wish, wishes) = watch::channel(Wish::Run);
        let (senders, statuses): (Vec<_>, Vec<_>) = services
            .iter()
            .map(|_| watch::channel(Status::new()))
            .unzip();
        let tail = |service: &Service| LogTail::new(service.log_lines);
        let tails: Vec<_> = services.iter().map(tail).collect();
        let changed = Arc::new(Notify::new());
        let mut supervisors = JoinSet::new();
        for (index, status) in senders.into_iter().enumerate() {
            let service = services[index].clone();
            let supervisor = Supervisor {
                voice: output.service(index, &service.name),
                tail: tails[index].clone(),
                status,
                changed: Arc::clone(&changed),
                wish: wishes.clone(),
                dependences: those(&statuses, |other| service.depends_on.contains(&other)),
                dependents: those(&statuses, |other| {
                    services[other].depends_on.contains(&index)
                }),
                service,
            };
            supervisors.spawn(supervisor.run());
        }
        Self {
            agent: output.agent(),
            output,
            stack,
            wish,
            statuses,
            changed,
            tails,
            supervisors,
            started: Instant::now(),
        }
    }

    /// Until every service is over.
    async fn stay(mut self, signals: &mut Signals) -> ExitCode {
        let mut was_up = false;
        loop {
            tokio::select! {
                () = signals.next() => self.wish_more(),
                () = self.changed.notified() => {
                    if !was_up && self.is_up() {
                        was_up = true;
                        self.announce();
                    }
                    if !was_up && self.first_given_up().is_some() {
                        self.wish.send_if_modified(|wish| *wish == Wish::Run && { *wish = Wish::Stop; true });
                    }
                }
                ended = self.supervisors.join_next() => if ended.is_none() {
                    return self.sum_up();
                }
            }
        }
    }

    /// A signal stops the services, a second one kills them.
    fn wish_more(&self) {
        let wish = *self.wish.borrow();
        let (next, text) = match wish {
            Wish::Run => (
                Wish::Stop,
                "stopping; once more to kill what has not stopped",
            ),
            Wish::Stop | Wish::Kill => (Wish::Kill, "killing what has not stopped"),
        };
        self.agent.say(text);
        self.wish.send_replace(next);
    }

    fn is_up(&self) -> bool {
        self.statuses
            .iter()
            .all(|status| status.borrow().state.is_up())
    }

    fn first_given_up(&self) -> Option<usize> {
        self.statuses
            .iter()
            .position(|status| status.borrow().state == State::GaveUp)
    }

    fn announce(&self) {
        let after = Duration::from_millis(self.started.elapsed().as_millis() as u64);
        let count = self.stack.services.len();
        self.agent.say(&format!(
            "{count} of {count} services are up after {after:?}"
        ));
        let width = self
            .stack
            .services
            .iter()
            .map(|service| service.name.len())
            .max()
            .unwrap_or_default();
        for (service, status) in self.stack.services.iter().zip(&self.statuses) {
            let status = status.borrow();
            let pid = status
                .pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            let listens: Vec<_> = service.listens.iter().map(ToString::to_string).collect();
            let line = format!(
                "  {:width$}  {:<9} pid {pid:<8} {}",
                service.name,
                status.state.to_string(),
                listens.join(" ")
            );
            self.agent.say(line.trim_end());
        }
        for hint in &self.stack.hints {
            self.output.text(hint);
        }
    }

    /// What is to be said at the end, and how it ended.
    fn sum_up(self) -> ExitCode {
        let Some(first) = self.first_given_up() else {
            self.agent.say("all services have stopped");
            return ExitCode::SUCCESS;
        };
        let name = &self.stack.services[first].name;
        self.agent
            .say(&format!("{name} was given up; its last words:"));
        for line in self.tails[first].last(LAST_WORDS) {
            self.agent.say(&format!("  {line}"));
        }
        ExitCode::FAILURE
    }
}

/// Clones of the receivers whose index this holds of.
fn those(
    statuses: &[watch::Receiver<Status>],
    holds: impl Fn(usize) -> bool,
) -> Vec<watch::Receiver<Status>> {
    let chosen = (0..statuses.len()).filter(|index| holds(*index));
    chosen.map(|index| statuses[index].clone()).collect()
}
