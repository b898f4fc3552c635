//! Policies that do not load: what is wrong, where it stands, what to do.

use std::path::Path;
use std::time::{Duration, Instant};

use mock_service::MockService;

use crate::policy_config::{closed, config, policy, policy_on, received};
use crate::support::TestGateway;

const UPSTREAM: &str = "http://127.0.0.1:1";

/// The problems of a config whose only use is of the policy `p`.
async fn refusal_of(policy_line: String, used: String) -> Vec<String> {
    let text = config(UPSTREAM, &[policy_line], &[("r", vec![used])]);
    TestGateway::refusal(&text)
        .await
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The one problem of a component with these bytes, and the path of its file.
async fn refusal_of_file(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    refusal_of_component(&path).await
}

async fn refusal_of_component(path: &Path) -> String {
    let line = format!("p: {{ component: \"file:{}\" }}", path.display());
    let mut problems = refusal_of(line, closed("p", "{}")).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems.remove(0);
    assert!(
        problem.contains(&path.display().to_string()),
        "the file is not named: {problem}"
    );
    // The policy's entry is the one line between `policies:` and `routes:`.
    assert!(
        problem.starts_with("test.yaml:8: policies.p.component: "),
        "{problem}"
    );
    problem
}

/// Asserts that there is one problem, of the use's config at `path`, with a line and these words.
fn assert_config_problem(problems: &[String], path: &str, words: &str) {
    let [problem] = problems else {
        panic!("{problems:?}")
    };
    // Four lines of `complete`, eleven of `config`.
    let prefix = format!("test.yaml:15: routes[0].policies[0].config{path}: ");
    assert!(problem.starts_with(&prefix), "{problem}");
    assert!(problem.contains(words), "{problem}");
}

#[tokio::test]
async fn a_config_against_the_policys_schema_is_refused_at_its_place() {
    let key = || policy("p", "require-header");
    let problems = refusal_of(key(), closed("p", "{ header: 5 }")).await;
    assert_config_problem(&problems, ".header", "expected a text, found the number 5");
    let problems = refusal_of(key(), closed("p", "{}")).await;
    assert_config_problem(&problems, "", "missing key \"header\"");
    let problems = refusal_of(key(), closed("p", "{ header: x-key, heder: x }")).await;
    assert_config_problem(&problems, ".heder", "did you mean \"header\"?");
    let list = refusal_of(
        policy("p", "fixtures/probe"),
        closed("p", "{ remove: [a, 1] }"),
    )
    .await;
    assert_config_problem(&list, ".remove[1]", "expected a text, found the number 1");
}

#[tokio::test]
async fn a_config_that_configure_refuses_is_refused_at_its_place() {
    let problems = refusal_of(
        policy("p", "require-header"),
        closed("p", "{ header: \"\" }"),
    )
    .await;
    assert_config_problem(&problems, ".header", "must not be empty");
}

#[tokio::test]
async fn every_problem_is_told_at_once() {
    let policies = [
        policy("p", "require-header"),
        "q: { component: \"builtin:nothing\" }".to_owned(),
    ];
    let uses = vec![
        closed("p", "{ header: \"\" }"),
        closed("p", "{ header: 1 }"),
        closed("q", "{}"),
    ];
    let refusal = TestGateway::refusal(&config(UPSTREAM, &policies, &[("r", uses)])).await;
    let paths: Vec<&str> = refusal
        .lines()
        .map(|line| line.split(':').nth(2).unwrap().trim())
        .collect();
    let expected = [
        "policies.q.component",
        "routes[0].policies[0].config.header",
        "routes[0].policies[1].config.header",
    ];
    assert_eq!(paths, expected, "{refusal}");
}

#[tokio::test]
async fn a_use_without_on_failure_is_refused() {
    let problems = refusal_of(policy("p", "fixtures/probe"), "{ use: p }".to_owned()).await;
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(
        problem.starts_with("test.yaml:15: routes[0].policies[0]"),
        "{problem}"
    );
    assert!(problem.contains("on_failure"), "{problem}");
    assert!(
        problem.contains("open") && problem.contains("closed"),
        "the choices are not named: {problem}"
    );
}

#[tokio::test]
async fn an_unknown_builtin_is_refused_with_those_that_there_are() {
    let line = "p: { component: \"builtin:nothing\" }".to_owned();
    let problems = refusal_of(line, closed("p", "{}")).await;
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(
        problem.starts_with("test.yaml:8: policies.p.component: "),
        "{problem}"
    );
    assert!(
        problem.contains("no builtin policy \"nothing\""),
        "{problem}"
    );
    assert!(problem.contains("rate-limit, request-limit, "), "{problem}");
}

#[tokio::test]
async fn a_missing_file_is_refused() {
    let problem = refusal_of_component(Path::new("/nowhere/policy.wasm")).await;
    assert!(problem.contains("No such file"), "{problem}");
    assert!(problem.contains("correct the path"), "{problem}");
}

#[tokio::test]
async fn a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let problem = refusal_of_component(folder.path()).await;
    assert!(problem.contains("directory"), "{problem}");
}

#[tokio::test]
async fn a_core_module_is_refused_with_the_way_to_a_component() {
    let problem = refusal_of_file("core.wasm", b"\0asm\x01\0\0\0").await;
    assert!(problem.contains("core WebAssembly module"), "{problem}");
    assert!(problem.contains("wasm-tools component new"), "{problem}");
}

#[tokio::test]
async fn files_that_are_not_webassembly_are_refused() {
    let files: [(&str, &[u8]); 4] = [
        ("empty.wasm", b""),
        ("text.wasm", b"fn main() {}\n"),
        ("cut.wasm", b"\0asm"),
        ("text.wat", b"(component)"),
    ];
    for (name, bytes) in files {
        let problem = refusal_of_file(name, bytes).await;
        assert!(problem.contains("not a WebAssembly component"), "{problem}");
        assert!(problem.contains("correct the path"), "no remedy: {problem}");
    }
}

#[tokio::test]
async fn a_component_that_was_cut_short_is_refused() {
    let whole = std::fs::read(crate::support::component("fixtures/probe")).unwrap();
    let problem = refusal_of_file("cut.wasm", &whole[..whole.len() / 2]).await;
    assert!(problem.contains("not a WebAssembly component"), "{problem}");
}

#[tokio::test]
async fn a_component_that_is_no_policy_is_refused_with_what_it_lacks() {
    // The smallest component: its header.
    let problem = refusal_of_file("other.wasm", b"\0asm\x0d\0\x01\0").await;
    assert!(
        problem.contains("does not export portcullis:policy/lifecycle@0.1.x"),
        "{problem}"
    );
    assert!(problem.contains("it exports: nothing"), "{problem}");
}

#[tokio::test]
async fn an_import_of_sockets_is_refused_by_name() {
    let problems = refusal_of(policy("p", "fixtures/forbidden-import"), closed("p", "{}")).await;
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(
        problem.contains("forbidden-import.wasm: imports wasi:sockets/"),
        "{problem}"
    );
    assert!(problem.contains("policies have no sockets"), "{problem}");
}

#[tokio::test]
async fn a_policy_built_with_wasi_works_by_its_inert_stubs() {
    let upstream = MockService::start().await;
    let policies = [policy("clock", "fixtures/wasi-clock")];
    let routes = [("r", vec![closed("clock", "{}")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let (first, second) = (gateway.get("/r").await, gateway.get("/r").await);
    let now = |answer| received(answer, "x-wasi-now").parse::<u64>().unwrap();
    assert!(now(&first) > 0 && now(&second) > 0);
    assert_ne!(
        received(&first, "x-wasi-random"),
        received(&second, "x-wasi-random")
    );
}

/// What a `configure` that misbehaves so is refused with, and how long that took.
async fn refusal_of_configure(mode: &str) -> (String, Duration) {
    let misbehaviour = format!("{{ hook: configure, mode: {mode} }}");
    let started = Instant::now();
    let problems = refusal_of(policy("p", "fixtures/hostile"), closed("p", &misbehaviour)).await;
    assert_config_problem(&problems, "", "");
    (problems[0].clone(), started.elapsed())
}

#[tokio::test]
async fn a_configure_that_does_not_end_is_given_up() {
    let (problem, took) = refusal_of_configure("loop").await;
    assert!(
        problem.contains("policy \"p\": configure: not done within 5s"),
        "{problem}"
    );
    // Five seconds, and what it takes to compile the component on a busy machine.
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[tokio::test]
async fn a_configure_that_breaks_is_refused() {
    for mode in ["trap", "panic", "grow_memory"] {
        let (problem, _) = refusal_of_configure(mode).await;
        assert!(
            problem.contains("policy \"p\": configure: trap: "),
            "{problem}"
        );
    }
    let (problem, _) = refusal_of_configure("error").await;
    assert!(problem.contains("hostile fails on purpose"), "{problem}");
}

#[tokio::test]
async fn a_reload_with_a_broken_policy_leaves_the_old_config_serving() {
    let upstream = MockService::start().await;
    let with = |misbehaviour: &str| {
        let routes = [("r", vec![closed("p", misbehaviour)])];
        config(&upstream.url(), &[policy("p", "fixtures/hostile")], &routes)
    };
    let gateway = TestGateway::start(&with("{ hook: on_request, mode: none }")).await;
    let problems = gateway
        .reload(&with("{ hook: configure, mode: trap }"))
        .await
        .unwrap_err();
    assert_eq!(problems[0].path, "routes[0].policies[0].config");
    assert_eq!(gateway.get("/r").await.status, 200);
}

#[tokio::test]
async fn less_memory_than_a_configured_instance_has_is_refused() {
    let line = policy_on("p", "require-header", "limits: { memory: 1MiB }");
    let long = closed("p", &format!("{{ header: {} }}", "a".repeat(1 << 20)));
    let problems = refusal_of(line, long).await;
    assert_config_problem(&problems, "", "limits.memory is 1048576; raise it");
}
