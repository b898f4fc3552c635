//! Secrets that policies can be granted.

use super::{parse, problems, sample_with};
use crate::policy::Capability;

/// The sample with this section, and with this list in the grants of its policy.
fn with(secrets: &str, granted: &str) -> String {
    let granted = format!("metrics: {{}}, secrets: {granted}");
    let text = sample_with("metrics: {},", &format!("{granted},"));
    // On the first line, which pushes the others down.
    format!("secrets: {secrets}\n{}", text.replace("[secrets]", "[]"))
}

#[test]
fn secrets_are_read_from_where_they_are_and_granted_by_name() {
    let text = with(
        "{ signing: { file: signing.key }, url: \"${REDIS_URL}\" }",
        "[signing]",
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.secrets["signing"].expose(), "s3cr3t");
    assert_eq!(
        config.secrets["url"].expose(),
        "redis://:hunter2@redis:6379/1"
    );
    let grants = &config.policies["rate-limit"].grants;
    assert!(grants.has(Capability::Secrets));
    assert_eq!(Vec::from_iter(&grants.secrets), ["signing"]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("hunter2"));
}

#[test]
fn a_secret_that_can_not_be_had_is_a_problem_at_its_place() {
    for (secrets, problem) in [
        (
            "{ signing: { file: gone } }",
            "1: secrets.signing: cannot read the file /etc/gw/gone: entity not found",
        ),
        (
            "{ signing: { file: large } }",
            "1: secrets.signing: larger than 64 KiB",
        ),
        ("{ signing: \"\" }", "1: secrets.signing: must not be empty"),
        (
            "{ signing: { fil: signing.key } }",
            "1: secrets.signing.fil: unknown key; did you mean \"file\"? known: file",
        ),
    ] {
        let found = problems(&with(secrets, "[signing]"));
        assert!(found.contains(&problem.to_owned()), "{found:?}");
    }
}

#[test]
fn a_grant_of_a_secret_that_is_not_there_names_those_that_are() {
    let text = with("{ signing: { file: signing.key } }", "[sining]");
    let expected = "18: policies.rate-limit.grants.secrets[0]: unknown secret \"sining\"; did you mean \"signing\"? known: signing";
    assert_eq!(problems(&text), [expected]);
}

#[test]
fn a_grant_and_a_stub_of_secrets_contradict_each_other() {
    let text = with("{ signing: { file: signing.key } }", "[signing]");
    let text = text.replace("stub: []", "stub: [secrets]");
    let expected =
        "19: policies.rate-limit.stub[0]: secrets is granted as well: remove the grant or the stub";
    assert_eq!(problems(&text), [expected]);
}
