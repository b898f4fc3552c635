//! A running agent, and the processes of its services.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// In seconds; longer than anything here takes on a busy machine.
const PATIENCE: u64 = 30;

/// An agent with the services of one file. When it is dropped, so is everything that it started.
pub(crate) struct Agent {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    mark: String,
    /// Where its file is; services run here.
    pub(crate) directory: TempDir,
}

impl Agent {
    /// Runs these services (the YAML below `services:`, not indented).
    pub(crate) fn run(services: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = write_stack(directory.path(), "stack.yaml", services);
        Self::start(directory, &[&file])
    }

    /// Runs the files that are in this directory.
    pub(crate) fn start(directory: TempDir, files: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("AGENT_TEST={}-{count}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child = command("run")
            .args(files)
            .env(name, value)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                read.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            lines,
            mark,
            directory,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many lines have this text in them.
    pub(crate) fn count(&self, text: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Which line has this text in it, once there is one.
    pub(crate) fn wait_for(&self, text: &str) -> usize {
        self.wait_for_nth(text, 1)
    }

    /// Which line is the nth with this text in it, once there are so many.
    pub(crate) fn wait_for_nth(&self, text: &str, nth: usize) -> usize {
        let mut found = None;
        let what = format!("{nth} × {text:?}");
        eventually(
            &what,
            || self.lines(),
            || {
                let lines = self.lines.lock().unwrap();
                let mut places = (0..lines.len()).filter(|line| lines[*line].contains(text));
                found = places.nth(nth - 1);
                found.is_some()
            },
        );
        found.unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Its end, and that of all that it has printed.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        let lines = Arc::clone(&self.lines);
        eventually(
            "the end of the agent",
            || lines.lock().unwrap().clone(),
            || {
                status = child.try_wait().unwrap();
                status.is_some()
            },
        );
        // The thread has the other count until it has read the last line.
        eventually("the end of its output", Vec::new, || {
            Arc::strong_count(&self.lines) == 2
        });
        status.unwrap()
    }

    /// Every process that it has started, or a process of these: they share its mark.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let is_ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            *pid != own
                && environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == self.mark.as_bytes())
        };
        all_processes().filter(is_ours).collect()
    }

    /// Those among them whose command line, without the program's directory, begins so.
    pub(crate) fn processes_of(&self, program: &str) -> Vec<u32> {
        let is_it = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let name = first.rsplit('/').next().unwrap_or_default();
            format!("{name} {rest}").starts_with(program)
        };
        self.processes().into_iter().filter(is_it).collect()
    }

    /// Returns once nothing is left of it.
    pub(crate) fn wait_until_nothing_is_left(&self) {
        eventually(
            "that nothing is left",
            || self.lines(),
            || self.processes().is_empty(),
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for process in self.processes() {
            signal("KILL", process);
        }
    }
}

/// Writes a file of services into the directory; gives its path.
pub(crate) fn write_stack(directory: &Path, name: &str, services: &str) -> String {
    let path = directory.join(name);
    let indented: Vec<_> = services.lines().map(|line| format!("  {line}\n")).collect();
    fs::write(&path, format!("services:\n{}", indented.concat())).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn command(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-agent"));
    command.arg(verb);
    command
}

/// Runs `check` or `run` on a text, to its end; its name in messages is `stack.yaml`.
pub(crate) fn output_of(verb: &str, text: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("stack.yaml"), text).unwrap();
    command(verb)
        .arg("stack.yaml")
        .current_dir(&directory)
        .output()
        .unwrap()
}

pub(crate) fn signal(name: &str, pid: u32) {
    // Fails when the process has just ended.
    let _ = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The fields of /proc/PID/stat behind the name: state, parent, group, …
pub(crate) fn stat(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields.split_whitespace().map(str::to_owned));
    fields.into_iter().flatten().collect()
}

pub(crate) fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns once the condition holds; panics with what there is to `show` when it takes too long.
pub(crate) fn eventually(what: &str, show: impl Fn() -> Vec<String>, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, show, holds);
}

/// The same, with another patience.
pub(crate) fn eventually_within(
    seconds: u64,
    what: &str,
    show: impl Fn() -> Vec<String>,
    mut holds: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "waited in vain for {what}\n{}",
            show().join("\n")
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
