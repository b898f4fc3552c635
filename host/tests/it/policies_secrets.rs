//! Secrets: granted by name, told to nobody else, read again by a reload.

use std::fs;

use crate::policy_config::{closed, config, policy_on};
use crate::support::TestGateway;

const UPSTREAM: &str = "http://127.0.0.1:1";

/// A config with the secrets of that folder and a policy on these terms that tells `a` and `b`.
fn told(folder: &std::path::Path, terms: &str) -> String {
    let probe = policy_on("probe", "fixtures/secret-probe", terms);
    let routes = [("r", vec![closed("probe", "{ names: [a, b, nowhere] }")])];
    let folder = folder.display();
    format!(
        "secrets: {{ a: {{ file: {folder}/a }}, b: {{ file: {folder}/b }} }}\n{}",
        config(UPSTREAM, &[probe], &routes)
    )
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "open sesame\n").unwrap();
    fs::write(folder.path().join("b"), "another's").unwrap();
    folder
}

#[tokio::test]
async fn a_policy_reads_the_secrets_that_it_is_granted_and_no_others() {
    let folder = folder();
    let text = told(
        folder.path(),
        "grants: { secrets: [a] }, limits: { time: 10s }",
    );
    let gateway = TestGateway::start(&text).await;
    // Without the line break at its end; nothing while it was configured.
    let expected =
        "a: 11 open sesame, early none\nb: none, early none\nnowhere: none, early none\n";
    assert_eq!(gateway.get("/r").await.text(), expected);

    fs::write(folder.path().join("a"), "changed\n").unwrap();
    gateway.reload(&text).await.unwrap();
    let answer = gateway.get("/r").await.text();
    assert!(answer.starts_with("a: 7 changed, "), "{answer}");
}

#[tokio::test]
async fn a_policy_without_the_grant_is_refused_with_the_words_that_give_it() {
    let folder = folder();
    let refusal = TestGateway::refusal(&told(folder.path(), "limits: { time: 10s }")).await;
    let words = "policies.probe.grants: the component imports \"secrets\", which is not granted; add `grants: { secrets: [NAME] }`, or `stub: [secrets]` to deny it";
    assert!(
        refusal.contains(words) && refusal.lines().count() == 1,
        "{refusal}"
    );
}

#[tokio::test]
async fn a_stub_tells_no_secret() {
    let folder = folder();
    let text = told(folder.path(), "stub: [secrets], limits: { time: 10s }");
    let gateway = TestGateway::start(&text).await;
    let answer = gateway.get("/r").await.text();
    assert!(answer.starts_with("a: none, early none\n"), "{answer}");
}
