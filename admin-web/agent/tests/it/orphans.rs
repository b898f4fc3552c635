//! Nothing is left behind, however the agent ends.

use crate::support::{Agent, eventually, signal};

/// Starts a child, a child in a session of its own, and one that is nobody's child any more: all that a process can do to get away.
const FAMILY: &str = "family:
  command:
    - sh
    - -c
    - \"sleep 1001 & setsid sleep 1002 & (setsid sh -c 'sleep 1003 & sleep 1004' &); echo born; wait\"
";

fn family_of(agent: &Agent) -> usize {
    (1001..=1004)
        .map(|seconds| agent.processes_of(&format!("sleep {seconds}")).len())
        .sum()
}

fn start_family() -> Agent {
    let agent = Agent::run(FAMILY);
    agent.wait_for("born");
    eventually(
        "the whole family",
        || agent.lines(),
        || family_of(&agent) == 4,
    );
    agent
}

#[test]
fn kill_9_of_the_agent_leaves_nothing() {
    for _ in 0..5 {
        let mut agent = start_family();
        agent.signal("KILL");
        agent.wait();
        agent.wait_until_nothing_is_left();
    }
}

#[test]
fn kill_9_of_an_agent_that_is_just_starting_leaves_nothing() {
    // Wherever it is: the keeper is there or not, has started the service or not, the service has its program or not.
    for step in 0..40 {
        let mut agent = Agent::run(FAMILY);
        std::thread::sleep(std::time::Duration::from_micros(500 * step));
        agent.signal("KILL");
        agent.wait();
        agent.wait_until_nothing_is_left();
    }
}

#[test]
fn a_stop_leaves_nothing() {
    let mut agent = start_family();
    agent.signal("TERM");
    assert!(agent.wait().success());
    assert_eq!(agent.processes(), [], "once the agent has ended");
}

#[test]
fn kill_9_of_agent_and_keepers_ends_the_services_themselves() {
    let mut agent =
        Agent::run("a: { command: [sleep, \"1001\"] }\nb: { command: [sleep, \"1002\"] }");
    agent.wait_for("2 of 2 services are up");
    let keepers = agent.processes_of("keeper of");
    assert_eq!(keepers.len(), 2);
    for process in keepers.into_iter().chain([agent.pid()]) {
        signal("KILL", process);
    }
    agent.wait();
    agent.wait_until_nothing_is_left();
}

#[test]
fn a_service_whose_keeper_is_killed_is_restarted() {
    let agent = Agent::run("a: { command: [sleep, \"1001\"], restart: { base: 10ms } }");
    agent.wait_for("1 of 1 services are up");
    let before = agent.processes_of("sleep 1001");
    signal("KILL", agent.processes_of("keeper of a")[0]);
    agent.wait_for("a     | lost its keeper: starts again in 10ms");
    eventually(
        "another life",
        || agent.lines(),
        || {
            let now = agent.processes_of("sleep 1001");
            now.len() == 1 && now != before
        },
    );
}
