//! The binary: what it prints, how it fails and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use mock_service::MockService;

use crate::support::get;

/// A running binary, killed when a test fails before it has ended it.
struct Binary {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Binary {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(&["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().parse().unwrap();
        Binary {
            child,
            stdout,
            address,
        }
    }

    /// Sends the signal; returns the exit code and what was still printed.
    fn end_with(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(kill.success());
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        (self.child.wait().unwrap().code(), printed)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-service"));
    command.args(arguments);
    command
}

#[tokio::test]
async fn each_request_is_printed_and_sigterm_ends_it_at_once() {
    let binary = Binary::start(&["--name", "users"]);
    let echo = get(binary.address, "/hello").await.json();
    assert_eq!(echo["service"], "users");
    get(binary.address, "/flaky").await;
    get(binary.address, "/flaky").await;
    let (code, printed) = binary.end_with("-TERM");
    assert_eq!(code, Some(0));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..2], ["GET /hello 200", "GET /flaky 503"]);
    assert!(lines[2].starts_with("GET /flaky 503 +"), "{printed}");
    assert!(lines[2].ends_with(" ms"), "{printed}");
}

#[tokio::test]
async fn quiet_prints_no_requests_and_interrupt_ends_it_at_once() {
    let binary = Binary::start(&["--quiet"]);
    get(binary.address, "/hello").await;
    assert_eq!(binary.end_with("-INT"), (Some(0), String::new()));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_a_remedy() {
    let upstream = MockService::start().await;
    let address = upstream.address().to_string();
    let output = command(&["--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let start = format!("mock-service: cannot listen on {address}: ");
    assert!(error.starts_with(&start), "{error}");
    assert!(
        error.contains("choose another port with --listen"),
        "{error}"
    );
}

#[test]
fn ready_tells_a_service_that_serves_from_one_that_does_not() {
    let service = Binary::start(&[]);
    let address = service.address.to_string();
    let ask = || command(&["ready", "--at", &address]).output().unwrap();
    assert_eq!(ask().status.code(), Some(0));
    service.end_with("-TERM");
    let refused = ask();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.starts_with(&format!("mock-service: {address}: ")),
        "{told}"
    );
}
