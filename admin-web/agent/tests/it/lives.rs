//! Starts, crashes, restarts.

use std::fs;

use crate::support::{Agent, eventually, free_port, signal, stat, write_stack};

/// Listens on a port, after a while at whose end there is a file `rested`; says so.
const LISTENER: &str = "import socket, sys, time
time.sleep(float(sys.argv[2]))
open('rested', 'w').close()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listens', flush=True)
while True: listener.accept()[0].close()";

fn listener(port: u16, delay: &str) -> String {
    let program = LISTENER.replace('\n', "\\n");
    format!("[python3, -c, \"{program}\", \"{port}\", \"{delay}\"]")
}

#[test]
fn a_service_starts_once_what_it_depends_on_is_healthy() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    let stack = format!(
        "late: {{ command: [sh, -c, \"[ -e rested ] && echo in time; exec sleep 1000\"], depends_on: [early] }}\n\
         early: {{ command: {}, health: {{ tcp: \"127.0.0.1:{port}\" }} }}",
        listener(port, "0.3"),
    );
    let file = write_stack(directory.path(), "stack.yaml", &stack);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}hint: |\n  Try this.\n")).unwrap();
    let mut agent = Agent::start(directory, &[&file]);
    agent.wait_for("late  | in time");
    let hint = agent.wait_for("Try this.");
    let lines = agent.lines();
    let place = |text: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(text))
            .unwrap()
    };
    assert!(
        place("agent | 2 of 2 services are up") < place("agent |   late   healthy   pid ")
            && place("agent |   late   healthy   pid ") < hint,
        "{lines:#?}"
    );
    let row = &lines[place("agent |   early  healthy   pid ")];
    assert!(row.ends_with(&format!("127.0.0.1:{port}")), "{row}");
    agent.signal("TERM");
    assert!(agent.wait().success());
}

#[test]
fn a_service_that_crashes_is_restarted_with_growing_pauses_and_then_given_up() {
    let port = free_port();
    let mut agent = Agent::run(&format!(
        "moody: {{ command: [sh, -c, \"echo born; exit 3\"], restart: {{ base: 10ms, give_up_after: 3 }}, health: {{ tcp: \"127.0.0.1:{port}\" }} }}\n\
         other: {{ command: [sleep, \"1000\"] }}\n\
         never: {{ command: [echo, never began], depends_on: [moody] }}"
    ));
    // It never was healthy as a whole: so the rest is stopped, and it ends.
    assert_eq!(agent.wait().code(), Some(1));
    let moody: Vec<_> = agent
        .lines()
        .into_iter()
        .filter_map(|line| Some(line.strip_prefix("moody | ")?.to_owned()))
        .collect();
    let told = [
        "born",
        "ended with exit code 3: starts again in 10ms",
        "born",
        "ended with exit code 3: starts again in 20ms",
        "born",
        "ended with exit code 3: crash 3 in a row, given up",
    ];
    assert_eq!(moody, told);
    assert!(agent.lines().ends_with(&[
        "agent | moody was given up; its last words:".to_owned(),
        "agent |   born".to_owned(),
        "agent |   born".to_owned(),
        "agent |   born".to_owned(),
    ]));
    assert_eq!(agent.count("never began"), 0);
    agent.wait_until_nothing_is_left();
}

#[test]
fn one_that_is_killed_comes_back_and_the_others_stay() {
    let agent = Agent::run(
        "victim: { command: [sleep, \"1001\"], restart: { base: 10ms } }\n\
         bystander: { command: [sleep, \"1002\"], depends_on: [victim] }",
    );
    agent.wait_for("2 of 2 services are up");
    let victim = agent.processes_of("sleep 1001");
    let bystander = agent.processes_of("sleep 1002");
    signal("KILL", victim[0]);
    agent.wait_for("ended with SIGKILL: starts again in 10ms");
    eventually(
        "another life",
        || agent.lines(),
        || {
            let now = agent.processes_of("sleep 1001");
            now.len() == 1 && now != victim
        },
    );
    assert_eq!(agent.processes_of("sleep 1002"), bystander);
    assert_eq!(agent.count("services are up"), 1, "{:#?}", agent.lines());
}

#[test]
fn one_that_is_given_up_later_leaves_the_others_running() {
    let mut agent = Agent::run(
        "short: { command: [sh, -c, \"while [ ! -e end ]; do sleep 0.02; done; exit 1\"], restart: { base: 10ms, give_up_after: 2 } }\n\
         long: { command: [sleep, \"1000\"] }",
    );
    agent.wait_for("2 of 2 services are up");
    fs::write(agent.directory.path().join("end"), "").unwrap();
    agent.wait_for("crash 2 in a row, given up");
    assert_eq!(agent.processes_of("sleep 1000").len(), 1);
    agent.signal("INT");
    assert_eq!(agent.wait().code(), Some(1));
}

#[test]
fn services_that_end_well_are_not_restarted_and_the_last_one_ends_the_agent() {
    let mut agent = Agent::run(
        "first: { command: [echo, done first] }\n\
         second: { command: [echo, done second], depends_on: [first] }",
    );
    assert!(agent.wait().success());
    assert!(agent.wait_for("done first") < agent.wait_for("done second"));
    assert_eq!(agent.count("first  | ended"), 1);
    assert_eq!(agent.count("done"), 2);
}

#[test]
fn what_a_crashed_service_has_left_is_gone_before_it_starts_again() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("listener.py"), LISTENER).unwrap();
    let file = write_stack(
        directory.path(),
        "stack.yaml",
        // The listener is abandoned, in a session of its own; the second life fails if it still has the port.
        &format!(
            "parent:\n  command: [sh, -c, \"setsid python3 listener.py {port} 0 & while [ ! -e end ]; do sleep 0.02; done; rm end; exit 1\"]\n  restart: {{ base: 10ms }}"
        ),
    );
    let agent = Agent::start(directory, &[&file]);
    agent.wait_for("parent | listens");
    fs::write(agent.directory.path().join("end"), "").unwrap();
    agent.wait_for_nth("parent | listens", 2);
    assert_eq!(agent.processes_of("python3").len(), 1);
}

#[test]
fn a_keeper_reaps_what_others_abandon() {
    let agent = Agent::run("parent: { command: [sh, -c, \"(sleep 0.01 &); exec sleep 1000\"] }");
    agent.wait_for("1 of 1 services are up");
    let service = agent.processes_of("sleep 1000");
    eventually(
        "the end of the orphan",
        || agent.lines(),
        || agent.processes_of("sleep 0.01").is_empty(),
    );
    let service = service
        .first()
        .copied()
        .unwrap_or_else(|| agent.processes_of("sleep 1000")[0]);
    let keeper = &stat(service)[1];
    let has_zombies = || {
        crate::support::all_processes().any(|pid| {
            let stat = stat(pid);
            stat.first().is_some_and(|state| state == "Z") && stat[1] == *keeper
        })
    };
    eventually("no zombie", Vec::new, || !has_zombies());
}

#[test]
fn one_that_ends_before_it_was_healthy_has_crashed() {
    let port = free_port();
    let agent = Agent::run(&format!(
        "quick: {{ command: [\"true\"], health: {{ tcp: \"127.0.0.1:{port}\" }}, restart: {{ base: 10ms }} }}"
    ));
    agent.wait_for("quick | ended with exit code 0: starts again in 10ms");
}
