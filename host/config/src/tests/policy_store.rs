//! The store of policies' versions.

use std::path::Path;

use super::{SAMPLE, parse, problems};
use crate::{ComponentSource, PolicyStore};

#[test]
fn a_policy_can_come_from_a_store_that_the_config_has() {
    assert_eq!(parse(SAMPLE).unwrap().policy_store, None);
    let stored = SAMPLE.replace("builtin:rate-limit", "store:limit");
    let config = parse(&format!("{stored}policy_store: {{ directory: kept }}\n")).unwrap();
    let expected = PolicyStore {
        directory: "/etc/gw/kept".into(),
        watch: None,
        keep: 20,
    };
    assert_eq!(config.policy_store, Some(expected));
    let component = &config.policies["rate-limit"].component;
    assert_eq!(component, &ComponentSource::Store("limit".to_owned()));
    assert_eq!(component.to_string(), "store:limit");
    let text = "{ directory: /var/kept, watch: drop, keep: 2 }";
    let config = parse(&format!("{SAMPLE}policy_store: {text}\n")).unwrap();
    let store = config.policy_store.unwrap();
    assert_eq!(store.directory, Path::new("/var/kept"));
    assert_eq!(store.watch.as_deref(), Some(Path::new("/etc/gw/drop")));
    assert_eq!(store.keep, 2);
}

#[test]
fn bad_values_are_named_with_their_place() {
    for (text, problem) in [
        ("{}", "policy_store: missing key \"directory\""),
        (
            "{ directory: '' }",
            "policy_store.directory: must not be empty",
        ),
        (
            "{ directory: kept, keep: 1 }",
            "policy_store.keep: must be 2 to 1000, found 1",
        ),
        (
            "{ directory: kept, watch: kept/drop }",
            "policy_store.watch: must lie apart from policy_store.directory, which is the gateway's own",
        ),
    ] {
        let found = problems(&format!("{SAMPLE}policy_store: {text}\n"));
        assert!(
            found.iter().any(|found| found.ends_with(problem)),
            "{text}: {found:?}"
        );
    }
}
