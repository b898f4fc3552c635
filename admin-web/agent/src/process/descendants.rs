//! The children that this process has at this moment.

use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process};

/// SIGKILL for every child. Of a process that is a subreaper, children of children become children when their parent has gone: whoever
/// calls this again after each child that it has reaped, until there is none, has killed all of them.
pub(super) fn kill_children() {
    for child in children() {
        // Fails when it has just ended.
        let _ = kill_process(child, Signal::KILL);
    }
}

/// From `/proc` (proc(5)): also the children that a parent has left to this process.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| parent_of(*pid) == Some(own))
        .filter_map(Pid::from_raw)
        .collect()
}

/// `None` when it has just ended.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parent_in(&stat)
}

/// `pid (name) state parent …`; the name may hold anything, also `)`.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_behind_any_name() {
        assert_eq!(parent_in("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (a) R 1 (b) Z 12 7 7 0"), Some(12));
        assert_eq!(parent_in("7 (sh"), None);
    }
}
