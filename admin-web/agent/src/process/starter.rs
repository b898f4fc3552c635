//! The first moments of a service's process, before it becomes the service's program.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// What a shell answers for a program that can't be run (POSIX.1-2017, XCU 2.8.2).
const CANNOT_RUN: u8 = 126;

/// Has this process die with its keeper, and becomes `command`. Comes back only if that fails; then a word goes into the pipe that is
/// its standard input.
pub(crate) fn start(keeper: i32, command: &[OsString]) -> ExitCode {
    // Standard input itself becomes the service's, which is empty.
    let pipe = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let error = become_service(keeper, command);
    eprintln!("{error}");
    // Without its keeper there is nobody to tell.
    let _ = pipe.and_then(|mut pipe| pipe.write_all(b"failed"));
    ExitCode::from(CANNOT_RUN)
}

/// Comes back with the reason why it can't.
fn become_service(keeper: i32, command: &[OsString]) -> String {
    let [program, arguments @ ..] = command else {
        return "no command".to_owned();
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("cannot ask for the end with the keeper: {error}");
    }
    // Has it gone before we asked? Then nobody will tell us.
    if getppid() != Pid::from_raw(keeper) {
        return "the keeper has gone".to_owned();
    }
    let mut command = Command::new(program);
    let error = command.args(arguments).stdin(Stdio::null()).exec();
    format!("cannot run {}: {error}", program.display())
}
