//! The stack of `make stack` and `make demo`, on free ports: the gateway, Redis and Prometheus as they are.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::{Agent, command, eventually_within, free_port};

/// The ports in the files, by what they are for.
const PORTS: [u16; 10] = [6379, 8001, 8002, 8080, 8081, 9090, 9464, 9465, 9901, 9902];

/// The first start of an unoptimised gateway compiles policies for a while.
const PATIENCE_SECONDS: u64 = 600;

fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap().to_owned()
}

/// Where the binaries of this build are.
fn binaries() -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_portcullis-agent"))
        .parent()
        .unwrap();
    for name in ["portcullis", "mock-service"] {
        let path = directory.join(name);
        assert!(
            path.exists(),
            "no {}: cargo build --workspace makes it",
            path.display()
        );
    }
    directory.to_owned()
}

/// Copies of the stack's files that have their ports and data elsewhere.
struct Elsewhere {
    directory: tempfile::TempDir,
    ports: Vec<u16>,
}

impl Elsewhere {
    fn new() -> Self {
        let elsewhere = Self {
            directory: tempfile::tempdir().unwrap(),
            ports: PORTS.map(|_| free_port()).into(),
        };
        for name in [
            "stack.yaml",
            "demo.yaml",
            "gateway-1.yaml",
            "gateway-2.yaml",
        ] {
            elsewhere.copy(&format!("admin-web/agent/stacks/{name}"), name);
        }
        elsewhere.copy("observability/prometheus/stack.yml", "stack.yml");
        elsewhere
    }

    fn copy(&self, from: &str, name: &str) {
        let mut text = fs::read_to_string(repository().join(from)).unwrap();
        // In two steps, since a new port may have an old one in it.
        for (index, old) in PORTS.iter().enumerate() {
            text = text.replace(&old.to_string(), &format!("<{index}>"));
        }
        for (index, new) in self.ports.iter().enumerate() {
            text = text.replace(&format!("<{index}>"), &new.to_string());
        }
        let data = self.directory.path().to_str().unwrap();
        for (old, new) in [
            (
                "directory: ../../..",
                format!("directory: {}", repository().display()),
            ),
            ("target/release", binaries().display().to_string()),
            ("../../../target/stack", data.to_owned()),
            // Compiled once for all tests, as those of the gateway are.
            (
                "target/stack/cache",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled").to_owned(),
            ),
            ("target/stack", data.to_owned()),
            ("admin-web/agent/stacks", data.to_owned()),
            (
                "observability/prometheus/stack.yml",
                format!("{data}/stack.yml"),
            ),
            (
                "rules/*.yml",
                repository()
                    .join("observability/prometheus/rules/*.yml")
                    .display()
                    .to_string(),
            ),
            ("scrape_interval: 5s", "scrape_interval: 1s".to_owned()),
        ] {
            text = text.replace(old, &new);
        }
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn port(&self, usual: u16) -> u16 {
        self.ports[PORTS.iter().position(|port| *port == usual).unwrap()]
    }

    /// The answer to a GET: its head and body.
    fn get(&self, usual: u16, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port(usual))).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What came before a reset counts.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
fn the_stack_comes_up_serves_shares_its_limits_is_scraped_and_leaves_nothing() {
    let elsewhere = Elsewhere::new();
    let files = ["stack.yaml", "demo.yaml"].map(|name| elsewhere.directory.path().join(name));
    let files = files.each_ref().map(|path| path.to_str().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(directory, &files);
    eventually_within(
        PATIENCE_SECONDS,
        "the stack",
        || agent.lines(),
        || agent.count("7 of 7 services are up") == 1,
    );
    agent.wait_for("The stack is up.");

    for gateway in [8080, 8081] {
        let answer = elsewhere.get(gateway, "/api/service1/hello", "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\"service\":\"mock-service-"), "{answer}");
    }
    one_limit_holds_for_both(&elsewhere);
    let has_answers =
        |line: &String| line.starts_with("load           |") && line.contains("  200 ");
    eventually_within(
        PATIENCE_SECONDS,
        "traffic",
        || agent.lines(),
        || agent.lines().iter().any(has_answers),
    );
    let targets = || elsewhere.get(9090, "/api/v1/targets", "");
    eventually_within(
        PATIENCE_SECONDS,
        "both targets",
        || vec![targets()],
        || targets().matches("\"health\":\"up\"").count() == 2,
    );

    agent.signal("INT");
    assert!(agent.wait().success(), "{:#?}", agent.lines());
    assert_eq!(agent.processes(), [], "once the agent has ended");
    for port in &elsewhere.ports {
        assert!(TcpListener::bind(("127.0.0.1", *port)).is_ok(), "{port}");
    }
    assert!(
        agent
            .lines()
            .iter()
            .any(|line| line.contains("summary of ")),
        "{:#?}",
        agent.lines()
    );
}

/// 100 at once and 10 a second, however many gateways there are; each by itself would let all pass.
fn one_limit_holds_for_both(elsewhere: &Elsewhere) {
    let begun = Instant::now();
    let mut passed = [0_u32; 2];
    for _ in 0..90 {
        for (gateway, passed) in [8080, 8081].into_iter().zip(&mut passed) {
            let answer = elsewhere.get(gateway, "/api/service1/hello", "x-api-key: alice\r\n");
            *passed += u32::from(answer.starts_with("HTTP/1.1 200 "));
        }
    }
    let refilled = (begun.elapsed().as_secs_f64() * 10.0).ceil() as u32;
    let total: u32 = passed.iter().sum();
    assert!(passed.iter().all(|passed| *passed > 0), "{passed:?}");
    assert!(
        (100..=101 + refilled).contains(&total),
        "{passed:?}, refilled {refilled}"
    );
    // Else the machine was too slow for this to say anything.
    assert!(total < 180, "{passed:?} in {:?}", begun.elapsed());
}

#[test]
fn the_stacks_files_are_sound() {
    let stacks = repository().join("admin-web/agent/stacks");
    for files in [
        &["run.yaml"][..],
        &["stack.yaml"],
        &["stack.yaml", "demo.yaml"],
    ] {
        let paths = files.iter().map(|file| stacks.join(file));
        let output = command("check").args(paths).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // Release builds and servers need not be there.
        let problems: Vec<_> = said
            .lines()
            .filter(|line| !line.contains(": no program "))
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
    }
}

#[test]
fn the_stacks_gateways_differ_in_their_ports_alone() {
    let read = |number: u8| {
        let path = format!("admin-web/agent/stacks/gateway-{number}.yaml");
        fs::read_to_string(repository().join(path)).unwrap()
    };
    let (one, two) = (read(1), read(2));
    let differing: Vec<_> = one
        .lines()
        .zip(two.lines())
        .filter(|(one, two)| one != two)
        .collect();
    let keys: Vec<_> = differing
        .iter()
        .map(|(one, _)| one.split(':').next().unwrap().trim())
        .collect();
    assert_eq!(one.lines().count(), two.lines().count());
    assert_eq!(
        keys[1..],
        ["- { name", "metrics", "control"],
        "{differing:#?}"
    );
}

#[test]
fn prometheus_reads_its_config() {
    let config = repository().join("observability/prometheus/stack.yml");
    let checked = Command::new("promtool")
        .args(["check", "config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
