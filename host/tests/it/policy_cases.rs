//! `portcullis policy test`: the cases of the policies that come with the gateway, and what the command says of others.

use std::path::{Path, PathBuf};

use crate::support::component;
use crate::support::process::{Finished, run};

/// The folders of cases under `guest-policies/`, by the policies' names.
fn folders() -> Vec<(String, PathBuf)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-policies");
    let crates = ["", "examples", "fixtures"].map(|place| workspace.join(place));
    let crates = crates.iter().flat_map(|place| place.read_dir().unwrap());
    let crates = crates.map(|folder| folder.unwrap().path());
    let with_cases = crates.filter(|folder| folder.join("cases").is_dir());
    let mut found: Vec<_> = with_cases
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (name, folder.join("cases"))
        })
        .collect();
    found.sort();
    found
}

fn test(component: &Path, cases: &Path) -> Finished {
    let (component, cases) = (component.to_str().unwrap(), cases.to_str().unwrap());
    run(&["policy", "test", component, cases])
}

#[test]
fn the_policies_pass_their_cases() {
    let folders = folders();
    let names: Vec<_> = folders.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"require-header"), "{names:?}");
    std::thread::scope(|scope| {
        let (one, other) = folders.split_at(folders.len() / 2);
        for half in [one, other] {
            scope.spawn(move || {
                for (name, cases) in half {
                    let finished = test(&component(name), cases);
                    assert_eq!(finished.code, Some(0), "{name}: {finished:#?}");
                    assert!(finished.output.starts_with("ok "), "{name}: {finished:?}");
                }
            });
        }
    });
}

/// Runs cases of the example that wants the header `x-user`.
fn test_example(cases: &str) -> (Finished, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.yaml");
    std::fs::write(&path, cases).unwrap();
    (test(&component("require-header"), &path), path)
}

#[test]
fn what_does_not_hold_is_told_by_line_and_place() {
    let (finished, path) = test_example(
        "\
config: { header: x-user }
cases:
  - name: without it
    steps:
      - request: { path: /a }
        expect: { response: { status: 401, json: { status: 401 } }, upstream: none }
  - name: wrong claims
    steps:
      - request: { headers: { x-user: a } }
        expect: { response: { status: 401, headers: { content-length: \"1\", x: y } } }
      - request: { path: /b, headers: { x-user: a } }
        expect: { upstream: { path: /a, headers: { x-user: null } }, attempts: 2 }
  - name: a sound config
    refused: [{ path: /header, message: empty }]
  - name: another problem
    config: { header: '' }
    refused: [{ path: /other, message: empty }]
",
    );
    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.errors, "3 of 4 cases failed\n");
    let path = path.display();
    let expected = format!(
        "\
ok      {path}:3  without it
FAILED  {path}:7  wrong claims
        line 9: steps[0].response.status: expected 401, got 200
        line 9: steps[0].response.headers.content-length: expected [\"1\"], got [\"0\"]
        line 9: steps[0].response.headers.x: expected [\"y\"], got []
        line 11: steps[1].upstream.path: expected \"/a\", got \"/b\"
        line 11: steps[1].upstream.headers.x-user: expected [], got [\"a\"]
        line 11: steps[1].attempts: expected 2, got 1
FAILED  {path}:13  a sound config
        refused: the config was accepted
FAILED  {path}:15  another problem
        refused[0]: expected path \"/other\" with \"empty\", got path \"/header\" with \"must not be empty\"
1 passed, 3 failed
"
    );
    assert_eq!(finished.output, expected);
}

#[test]
fn a_file_that_is_no_case_file_is_refused_with_all_its_problems() {
    for (cases, problem) in [
        (
            "cases: []",
            "cases.yaml:1: cases: must have at least one item",
        ),
        (
            "cases: [{ name: a, step: [] }]",
            "cases.yaml:1: cases[0].step: unknown key",
        ),
        ("config: [", "cases.yaml:1:"),
        (
            "cases:\n  - name: a\n    steps:\n      - wait: 5",
            "cases.yaml:4: cases[0].steps[0].wait: expected a duration",
        ),
    ] {
        let (finished, _) = test_example(cases);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.errors.contains(problem), "{problem}\n{finished:?}");
    }
    let (finished, _) =
        test_example("limits: { time: 1h }\ncases: [{ name: a, config: { header: a } }]");
    assert!(finished.output.contains("limits.time: "), "{finished:?}");
    let nothing = run(&["policy", "test", "builtin:retry", "/no/such.yaml"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.errors.contains("/no/such.yaml"), "{nothing:?}");
}
