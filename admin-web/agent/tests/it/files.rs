//! Files of services: what is wrong with them is said by line and path, and before anything is started.

use std::net::TcpListener;

use crate::support::{Agent, command, output_of, write_stack};

/// The answer to `check`: exit code and text.
fn check(text: &str) -> (Option<i32>, String) {
    let output = output_of("check", text);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_good_file_is_counted() {
    let text =
        "services:\n  a: { command: [echo] }\n  b: { command: [/bin/sh], depends_on: [a] }\n";
    assert_eq!(check(text), (Some(0), "ok: 2 services\n".to_owned()));
}

#[test]
fn what_is_wrong_is_told_by_line_and_path() {
    let table = [
        (
            "services:\n  a:\n    command: [echo]\n    depend_on: [b]",
            "stack.yaml:4: services.a.depend_on: unknown key; did you mean \"depends_on\"?",
        ),
        (
            "service:\n  a: { command: [echo] }",
            "stack.yaml:1: service: unknown key; did you mean \"services\"?",
        ),
        (
            "services:\n  a: { command: [] }",
            "stack.yaml:2: services.a.command: ",
        ),
        (
            "services:\n  a: { command: echo }",
            "stack.yaml:2: services.a.command: ",
        ),
        (
            "services:\n  a: { directory: . }",
            "stack.yaml:2: services.a: missing key \"command\"",
        ),
        (
            "services:\n  a: { command: [echo] }\n  a: { command: [echo] }",
            "stack.yaml:3: services.a: ",
        ),
        (
            "services:\n  A: { command: [echo] }",
            "stack.yaml:2: services.A: a service's name has at most 63 lower-case",
        ),
        (
            "services:\n  agent: { command: [echo] }",
            "stack.yaml:2: services.agent: a service's name",
        ),
        (
            "services:\n  a: { command: [ehco-no-such-program] }",
            "stack.yaml:2: services.a.command[0]: no program \"ehco-no-such-program\" in PATH: install it",
        ),
        (
            "services:\n  a: { command: [echo], check: [./nope] }",
            "stack.yaml:2: services.a.check[0]: no program ",
        ),
        (
            "services:\n  a: { command: [echo], directory: nope }",
            "stack.yaml:2: services.a.directory: no directory ",
        ),
        (
            "services:\n  a: { command: [echo], env: { \"A-B\": x } }",
            "stack.yaml:2: services.a.env.A-B: no environment variable",
        ),
        (
            "services:\n  a: { command: [echo], env_file: nope }",
            "stack.yaml:2: services.a.env_file: ",
        ),
        (
            "services:\n  web: { command: [echo] }\n  a:\n    command: [echo]\n    depends_on: [wbe]",
            "stack.yaml:5: services.a.depends_on[0]: unknown service \"wbe\"; did you mean \"web\"?",
        ),
        (
            "services:\n  a: { command: [echo], depends_on: [b] }\n  b: { command: [echo], depends_on: [c] }\n  c: { command: [echo], depends_on: [b] }",
            "stack.yaml:3: services.b.depends_on: services depend on each other in a circle: b → c → b; take one",
        ),
        (
            "services:\n  a: { command: [echo], depends_on: [a] }",
            "in a circle: a → a",
        ),
        (
            "services:\n  a: { command: [echo], listens: [\"8080\"] }",
            "stack.yaml:2: services.a.listens[0]: expected an address such as",
        ),
        (
            "services:\n  a: { command: [echo], listens: [\"0.0.0.0:7\"] }\n  b: { command: [echo], listens: [\"127.0.0.1:7\"] }",
            "stack.yaml:3: services.b.listens: service \"a\" listens on port 7 already",
        ),
        (
            "services:\n  a: { command: [echo], health: { tcp: \"localhost:7\" } }\n  b: { command: [echo], health: { url: \"http://127.0.0.1:7/\" } }",
            "stack.yaml:3: services.b.listens: service \"a\" listens on port 7",
        ),
        (
            "services:\n  a: { command: [echo], health: { url: \"https://127.0.0.1/\" } }",
            "stack.yaml:2: services.a.health.url: expected a URL such as",
        ),
        (
            "services:\n  a: { command: [echo], health: { tcp: \"127.0.0.1\" } }",
            "stack.yaml:2: services.a.health.tcp: expected an address",
        ),
        (
            "services:\n  a: { command: [echo], health: { interval: 1s } }",
            "stack.yaml:2: services.a.health: needs one of url and tcp",
        ),
        (
            "services:\n  a: { command: [echo], health: { tcp: \"a:1\", interval: 0s } }",
            "stack.yaml:2: services.a.health.interval: must be at least 10ms",
        ),
        (
            "services:\n  a: { command: [echo], restart: { base: 1s, cap: 500ms } }",
            "stack.yaml:2: services.a.restart.cap: must not be less than base",
        ),
        (
            "services:\n  a: { command: [echo], stop: { signal: STOP } }",
            "stack.yaml:2: services.a.stop.signal: ",
        ),
        ("services: {}", "stack.yaml:1: services: "),
        ("services: [", "stack.yaml:1: "),
    ];
    for (text, expected) in table {
        let (code, said) = check(text);
        assert_eq!(code, Some(1), "{text}\n{said}");
        assert!(
            said.contains(expected),
            "{text}\n{said}\nexpected {expected}"
        );
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let (_, said) = check(
        "services:\n  a: { command: [./x], depends_on: [c] }\n  b: { command: [./y], directory: z }",
    );
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = command("check")
        .arg("/nowhere/stack.yaml")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("/nowhere/stack.yaml: cannot read the file: "),
        "{said}"
    );
}

#[test]
fn several_files_are_one_stack() {
    let directory = tempfile::tempdir().unwrap();
    let one = write_stack(
        directory.path(),
        "one.yaml",
        "a: { command: [echo, from a] }",
    );
    let two = write_stack(
        directory.path(),
        "two.yaml",
        "b: { command: [echo, from b], depends_on: [a] }",
    );
    let mut agent = Agent::start(directory, &[&one, &two]);
    assert!(agent.wait().success());
    assert!(agent.wait_for("from a") < agent.wait_for("from b"));
    let again = command("check").args([&one, &one]).output().unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains("one.yaml:2 has a service of this name: rename one of them"),
        "{said}"
    );
}

#[test]
fn a_port_that_is_taken_is_told_by_the_services_name_before_anything_is_started() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let output = output_of(
        "run",
        &format!(
            "services:\n  early: {{ command: [touch, started] }}\n  late: {{ command: [echo], listens: [\"{address}\"] }}"
        ),
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(&format!(
            "late: cannot listen on {address}: Address already in use"
        )),
        "{said}"
    );
    assert!(
        said.contains(&format!("sport = :{}", address.port())),
        "{said}"
    );
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

#[test]
fn a_check_that_fails_is_shown_before_anything_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_stack(
        directory.path(),
        "stack.yaml",
        "early: { command: [touch, started] }\n\
         late: { command: [echo], check: [sh, -c, \"echo line 7 is wrong; exit 2\"] }\n\
         last: { command: [echo], check: [echo, fine] }",
    );
    let output = command("run").arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "late: line 7 is wrong\nlate: its check failed (exit status: 2)\n"
    );
    assert!(!directory.path().join("started").exists());
    assert!(output.stdout.is_empty());
}
