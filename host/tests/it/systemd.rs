//! The unit for systemd: as systemd reads it, confined, and with commands that the gateway has.

use std::process::Command;

use tempfile::TempDir;

use crate::support::cache;
use crate::support::observability::text;
use crate::support::process::run_with_config;

const UNIT: &str = "host/deploy/systemd/portcullis.service";

/// The unit with the program that was built in the place of the installed one, which is not here.
fn unit() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.service");
    let text = text(UNIT).replace("/usr/bin/portcullis", env!("CARGO_BIN_EXE_portcullis"));
    std::fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

fn analyze(words: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(words).output();
    let output = output.expect("systemd-analyze is on the path");
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

#[test]
fn systemd_takes_the_unit() {
    let (_folder, path) = unit();
    let (good, printed) = analyze(&["verify", "--man=no", &path]);
    assert!(good, "{printed}");
    // A key that it does not know is a warning.
    assert!(!printed.contains("portcullis.service"), "{printed}");
}

#[test]
fn the_service_is_confined() {
    let (_folder, path) = unit();
    // In tenths: 100 is a service without any bounds.
    let words = [
        "security",
        "--offline=true",
        "--threshold=15",
        "--no-pager",
        &path,
    ];
    let (good, printed) = analyze(&words);
    assert!(good, "{printed}");
}

/// The values of a key.
fn values(key: &str) -> Vec<String> {
    let text = text(UNIT);
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

#[test]
fn its_commands_are_the_gateways() {
    let start = &values("ExecStart")[0];
    let check = &values("ExecStartPre")[0];
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[..3], ["/usr/bin/portcullis", "run", "--config"]);
    assert_eq!(words[4], "--cache");
    // The same, checked first: the words are those of both.
    assert_eq!(check, &start.replace(" run ", " check "));
    let checked = run_with_config("check", &text("host/gateway.yaml"), &cache());
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let folder = &values("ConfigurationDirectory")[0];
    assert!(
        words[3].starts_with(&format!("/etc/{folder}/")),
        "{}",
        words[3]
    );
}

#[test]
fn it_has_time_to_drain() {
    let stop = &values("TimeoutStopSec")[0];
    let stop: u64 = stop.trim_end_matches('s').parse().unwrap();
    let config = portcullis_config::parse(&text("host/gateway.yaml"), "gateway.yaml".as_ref());
    let config = config.unwrap();
    let needed = config.drain_delay + config.drain_timeout;
    assert!(stop > needed.as_secs(), "{stop} s and {needed:?}");
}
