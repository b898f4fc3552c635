//! A keeper: the process between the agent and one service.

use std::ffi::{CString, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait,
};
use rustix::thread::set_name;

use super::descendants::kill_children;
use super::message::{Ending, Order, Report};

/// Runs a service until nothing is left of it; its standard input is the socket to the agent.
///
/// The process is single-threaded but for the thread that reads orders, and it is the first thread, which lives as long as the process, that
/// starts the service: `PR_SET_PDEATHSIG` is about the parent *thread* (prctl(2)).
pub(crate) fn keep(name: &str, stop_signal: Signal, command: &[OsString]) -> ExitCode {
    match Keeper::start(name, stop_signal, command) {
        Ok(keeper) => keeper.reap_all(),
        Err(error) => {
            eprintln!("the keeper of {name} cannot start it: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Keeper {
    agent: UnixStream,
    service: Pid,
    /// Everything is to be killed.
    kills: Arc<AtomicBool>,
}

impl Keeper {
    fn start(name: &str, stop_signal: Signal, command: &[OsString]) -> io::Result<Self> {
        // So that `pkill portcullis-agent` ends the agent, and a keeper can do its part.
        if let Ok(comm) = CString::new(format!("keep:{name}")) {
            set_name(&comm)?;
        }
        set_child_subreaper(Some(getpid()))?;
        let agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let orders = BufReader::new(agent.try_clone()?);
        let (mut failed, told) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .arg("start")
            .arg(getpid().as_raw_nonzero().to_string())
            .arg("--")
            .args(command)
            .stdin(told)
            .process_group(0)
            .spawn()?;
        let service = Pid::from_child(&child);
        let keeper = Self {
            agent,
            service,
            kills: Arc::default(),
        };
        let kills = Arc::clone(&keeper.kills);
        thread::spawn(move || obey(orders, service, stop_signal, &kills));
        // The pipe ends without a word when the service's program has begun, or when its process was killed before.
        if io::copy(&mut failed, &mut io::sink())? == 0 {
            keeper.report(Report::Started(child.id()));
        }
        Ok(keeper)
    }

    /// Until there is no child any more, own or inherited. When the service's process has ended, the rest of it is killed.
    fn reap_all(self) -> ExitCode {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid == self.service => {
                    self.report(Report::Ended(ending(status)));
                    self.kills.store(true, Ordering::SeqCst);
                }
                Err(Errno::CHILD) => return ExitCode::SUCCESS,
                _ => {}
            }
            if self.kills.load(Ordering::SeqCst) {
                kill_children();
            }
        }
    }

    fn report(&self, report: Report) {
        // Fails when the agent has gone: `obey` sees that too.
        let _ = writeln!(&self.agent, "{report}");
    }
}

/// Does as the agent says; the agent's end is an order to kill.
fn obey(orders: impl BufRead, service: Pid, stop_signal: Signal, kills: &AtomicBool) {
    for line in orders.lines() {
        match line.as_deref().map(str::parse) {
            // Fails when it has ended. Its number can't be another's yet: the keeper ends soon after it, and does not start anything.
            Ok(Ok(Order::Stop)) => drop(kill_process(service, stop_signal)),
            Ok(Ok(Order::Kill)) => kill_all(kills),
            Ok(Err(_)) => {}
            Err(_) => break,
        }
    }
    kill_all(kills);
}

fn kill_all(kills: &AtomicBool) {
    // First the mark: what is reaped from here on is followed by another round.
    kills.store(true, Ordering::SeqCst);
    kill_children();
}

fn ending(status: WaitStatus) -> Ending {
    match status.terminating_signal() {
        Some(signal) => Ending::Signal(signal),
        None => Ending::Code(status.exit_status().unwrap_or_default()),
    }
}
