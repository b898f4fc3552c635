//! The agent's side of a keeper.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::message::{Order, Report};
use crate::line_reader::LineReader;
use crate::stack::Service;

/// A service's process with its keeper. Dropped, all of it is killed.
#[derive(Debug)]
pub(crate) struct KeptProcess {
    keeper: Child,
    orders: WriteHalf<UnixStream>,
    reports: LineReader<ReadHalf<UnixStream>>,
}

impl KeptProcess {
    /// Starts a service; also gives what it prints.
    pub(crate) fn start(service: &Service) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut keeper = Command::new("/proc/self/exe");
        keeper
            .arg0(format!("keeper of {}", service.name))
            .args(["keep", &service.name])
            .arg(service.stop.signal.as_raw().to_string())
            .arg("--")
            .args(&service.command)
            .current_dir(&service.directory)
            .envs(&service.env)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal's Ctrl-C is for the agent alone.
            .process_group(0);
        let mut keeper = keeper.spawn()?;
        let no_pipe = || io::Error::other("no pipe to the keeper");
        let stdout = keeper.stdout.take().ok_or_else(no_pipe)?;
        let stderr = keeper.stderr.take().ok_or_else(no_pipe)?;
        let (reports, orders) = split(UnixStream::from_std(ours)?);
        let kept = Self {
            keeper,
            orders,
            reports: LineReader::new(reports),
        };
        Ok((kept, stdout, stderr))
    }

    /// The keeper's next report; `None` when there is no more, since the keeper has ended.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        loop {
            if let Ok(report) = self.reports.next().await?.parse() {
                return Some(report);
            }
        }
    }

    /// Tells the keeper.
    pub(crate) async fn order(&mut self, order: Order) {
        // Fails when the keeper has ended, and all below it.
        let _ = self.orders.write_all(format!("{order}\n").as_bytes()).await;
    }

    /// Waits until nothing is left of it.
    pub(crate) async fn end(mut self) {
        // Fails only for a child that is not ours.
        let _ = self.keeper.wait().await;
    }
}
