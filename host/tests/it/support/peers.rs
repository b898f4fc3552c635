//! Programs that nobody here wrote: clients run to their end, servers that end with the test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::eventually;

/// A server with what it prints. Killed when it is dropped.
pub(crate) struct Peer {
    child: Child,
    printed: Arc<Mutex<String>>,
    /// Ends with what it prints.
    reader: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Arc::<Mutex<String>>::default();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let all = printed.clone();
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while output
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                *all.lock().unwrap() += &String::from_utf8_lossy(&line);
                line.clear();
            }
        });
        Self {
            child,
            printed,
            reader: Some(reader),
        }
    }

    /// Starts a script of `tests/peers`; it prints `port N` once it serves there.
    pub(crate) async fn start_script(name: &str, arguments: &[&str]) -> (Self, u16) {
        let peer = Self::start(&mut script(name, arguments));
        peer.wait_for("port ").await;
        let printed = peer.printed();
        let port = printed.lines().find_map(|line| line.strip_prefix("port "));
        (peer, port.unwrap().parse().unwrap())
    }

    /// All that it has printed.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Returns once it has printed that text, with the rest of a line.
    pub(crate) async fn wait_for(&self, text: &str) {
        eventually(&format!("it prints {text:?}"), async || {
            let printed = self.printed();
            printed
                .split_once(text)
                .is_some_and(|(_, rest)| rest.contains('\n'))
        })
        .await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Gone already: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("it has printed:\n{}", self.printed());
        }
    }
}

/// A port that nothing uses, for a server that must be told one.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .unwrap()
        .port()
}

/// Runs a command to its end: what it has printed.
pub(crate) async fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    command.args(arguments);
    finished(command).await
}

/// Runs a script of `tests/peers` to its end: what it has printed.
pub(crate) async fn run_script(name: &str, arguments: &[&str]) -> String {
    finished(script(name, arguments)).await
}

async fn finished(mut command: Command) -> String {
    let mut peer = Peer::start(command.stderr(Stdio::piped()));
    let errors = peer.child.stderr.take().unwrap();
    let errors = std::thread::spawn(|| std::io::read_to_string(errors).unwrap_or_default());
    let mut status = None;
    eventually(&format!("{command:?} ends"), async || {
        status = peer.child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    peer.reader.take().unwrap().join().unwrap();
    let (status, text) = (status.unwrap(), peer.printed());
    let errors = errors.join().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{errors}");
    text
}

/// What curl prints: the head and the body.
pub(crate) async fn curl(arguments: &[&str]) -> String {
    let always = [
        "--silent",
        "--show-error",
        "--include",
        "--ipv4",
        "--noproxy",
        "*",
    ];
    run("curl", &[&always, arguments].concat()).await
}

fn script(name: &str, arguments: &[&str]) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut command = Command::new(python());
    // No bytecode beside the scripts.
    command
        .args(["-B", "-u"])
        .arg(scripts.join(name))
        .args(arguments);
    command
}

/// Python with the packages of `tests/peers/requirements.txt`; `make setup` puts it there.
pub(crate) fn python() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin/python");
    assert!(
        path.exists(),
        "{} is missing: run `make setup`",
        path.display()
    );
    path
}
