//! What health checks do.

use std::fs;

use crate::support::{Agent, eventually, free_port, write_stack};

/// Answers 200 while there is a file `well`, else 503; never dies of SIGTERM.
const SERVER: &str = "import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists('well') and self.path == '/health?deep' else 503)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

fn server() -> Agent {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("server.py"), SERVER).unwrap();
    let stack = format!(
        "web:\n  command: [python3, server.py, \"{port}\"]\n  health: {{ url: \"http://127.0.0.1:{port}/health?deep\", interval: 10ms }}"
    );
    let file = write_stack(directory.path(), "stack.yaml", &stack);
    Agent::start(directory, &[&file])
}

#[test]
fn a_service_goes_from_healthy_to_unhealthy_and_back() {
    let mut agent = server();
    let well = agent.directory.path().join("well");
    fs::write(&well, "").unwrap();
    agent.wait_for("1 of 1 services are up");
    fs::remove_file(&well).unwrap();
    agent.wait_for("web   | is unhealthy");
    fs::write(&well, "").unwrap();
    agent.wait_for("web   | is healthy");
    // It was never started again.
    agent.signal("TERM");
    assert!(agent.wait().success());
    assert_eq!(agent.count("starts again"), 0);
}

#[test]
fn a_service_that_is_not_healthy_in_time_is_restarted() {
    let port = free_port();
    let agent = Agent::run(&format!(
        "slow: {{ command: [sleep, \"1001\"], health: {{ tcp: \"127.0.0.1:{port}\", start_timeout: 100ms }}, restart: {{ base: 10ms }} }}"
    ));
    agent.wait_for("slow  | was not healthy within 100ms: starts again in 10ms");
    agent.wait_for("slow  | was not healthy within 100ms: starts again in 20ms");
    eventually(
        "one process at a time",
        || agent.lines(),
        || agent.processes_of("sleep 1001").len() == 1,
    );
    // Now somebody listens.
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    agent.wait_for("1 of 1 services are up");
}
