//! Stops: their order, their patience, their end.

use std::time::{Duration, Instant};

use crate::support::{Agent, stat};

/// A shell that says when it is told to stop.
fn polite(name: &str, more: &str) -> String {
    format!(
        "{name}: {{ command: [sh, -c, \"trap 'echo {name} stops; exit 0' TERM; echo runs; while :; do sleep 0.02; done\"]{more} }}\n"
    )
}

/// A shell that does not care.
fn stubborn(name: &str, grace: &str) -> String {
    format!(
        "{name}: {{ command: [sh, -c, \"trap '' TERM INT; echo runs; while :; do sleep 0.02; done\"], stop: {{ grace: {grace} }} }}\n"
    )
}

#[test]
fn services_stop_after_those_that_depend_on_them() {
    for signal in ["INT", "TERM", "HUP"] {
        let services = polite("a", "")
            + &polite("b", ", depends_on: [a]")
            + &polite("c", ", depends_on: [b, a]");
        let mut agent = Agent::run(&services);
        agent.wait_for("3 of 3 services are up");
        agent.wait_for_nth("| runs", 3);
        agent.signal(signal);
        assert!(agent.wait().success(), "{:#?}", agent.lines());
        let (a, b, c) = (
            agent.wait_for("a stops"),
            agent.wait_for("b stops"),
            agent.wait_for("c stops"),
        );
        assert!(c < b && b < a, "{:#?}", agent.lines());
        assert_eq!(
            agent.lines().last().unwrap(),
            "agent | all services have stopped"
        );
        agent.wait_until_nothing_is_left();
    }
}

#[test]
fn one_gets_the_signal_that_its_file_names() {
    let mut agent = Agent::run(
        "quits: { command: [sh, -c, \"trap 'echo got QUIT; exit 0' QUIT; echo runs; while :; do sleep 0.02; done\"], stop: { signal: QUIT } }",
    );
    agent.wait_for("| runs");
    agent.signal("TERM");
    assert!(agent.wait().success());
    agent.wait_for("got QUIT");
}

#[test]
fn one_that_does_not_stop_is_killed_after_its_grace() {
    let mut agent = Agent::run(&stubborn("stubborn", "200ms"));
    agent.wait_for("| runs");
    let asked = Instant::now();
    agent.signal("TERM");
    assert!(agent.wait().success());
    assert!(asked.elapsed() >= Duration::from_millis(200));
    agent.wait_for("stubborn | has not stopped within 200ms: killed");
    agent.wait_until_nothing_is_left();
}

#[test]
fn a_second_signal_kills_what_has_not_stopped() {
    let mut agent = Agent::run(&(stubborn("stubborn", "1h") + &polite("waits", "")));
    agent.wait_for_nth("| runs", 2);
    agent.signal("INT");
    agent.wait_for("stopping; once more to kill");
    agent.signal("INT");
    // Sooner than in an hour.
    assert!(agent.wait().success());
    agent.wait_until_nothing_is_left();
}

#[test]
fn one_that_waits_for_its_next_life_stops_too() {
    let mut agent = Agent::run("moody: { command: [\"false\"], restart: { base: 1h, cap: 1h } }");
    agent.wait_for("starts again in 3600s");
    agent.signal("TERM");
    assert!(agent.wait().success());
}

#[test]
fn the_terminals_signals_reach_the_agent_alone() {
    let agent = Agent::run("one: { command: [sleep, \"1000\"] }");
    agent.wait_for("1 of 1 services are up");
    let group = |pid: u32| stat(pid)[2].clone();
    let processes = agent.processes();
    assert_eq!(processes.len(), 2, "the keeper and the service");
    for process in processes {
        assert_ne!(group(process), group(agent.pid()));
    }
}
