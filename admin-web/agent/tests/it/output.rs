//! What the agent prints, and what it does when nobody reads it.

use std::fs;
use std::process::Stdio;

use crate::support::{Agent, command, eventually, write_stack};

#[test]
fn lines_of_both_outputs_have_the_services_name_and_no_colour_in_a_pipe() {
    let mut agent = Agent::run(
        "long-name: { command: [sh, -c, \"echo out; echo err >&2; printf 'no end'\"] }\n\
         b: { command: [echo, \"B\"] }",
    );
    assert!(agent.wait().success());
    for line in [
        "long-name | out",
        "long-name | err",
        "long-name | no end",
        "b         | B",
    ] {
        assert!(
            agent.lines().contains(&line.to_owned()),
            "{:#?}",
            agent.lines()
        );
    }
    assert_eq!(agent.count("\u{1b}"), 0);
}

#[test]
fn a_terminal_gets_colours() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_stack(
        directory.path(),
        "stack.yaml",
        "one: { command: [echo, hello] }",
    );
    let agent = format!("{} run {file}", env!("CARGO_BIN_EXE_portcullis-agent"));
    let output = std::process::Command::new("script")
        .args(["-qec", &agent, "/dev/null"])
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("\u{1b}[36mone   |\u{1b}[0m hello"),
        "{printed:?}"
    );
}

#[test]
fn services_go_on_when_nobody_reads_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_stack(
        directory.path(),
        "stack.yaml",
        "talks: { command: [sh, -c, \"yes 0123456789 | head -c 4000000; touch done; exec sleep 1000\"] }",
    );
    let mut agent = command("run")
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe stays open and is not read.
    eventually("the end of all that talk", Vec::new, || {
        directory.path().join("done").exists()
    });
    crate::support::signal("TERM", agent.id());
    let mut status = None;
    eventually("the end of the agent", Vec::new, || {
        status = agent.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
}

#[test]
fn services_have_their_directory_and_environment() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("work")).unwrap();
    fs::write(
        directory.path().join("some.env"),
        "# both\nA=file\nB=file b\n",
    )
    .unwrap();
    let file = write_stack(
        directory.path(),
        "stack.yaml",
        "one:\n  command: [sh, -c, 'echo \"$A,$B,$(basename \"$PWD\"),$(cat)\"']\n  directory: work\n  env_file: some.env\n  env: { A: \"own\" }",
    );
    let mut agent = Agent::start(directory, &[&file]);
    assert!(agent.wait().success());
    agent.wait_for("one   | own,file b,work,");
}
