//! Requests of their own that policies can be granted.

use super::{parse, problems, sample_with};
use crate::policy::Capability;

/// The sample with this grant in its policy.
fn with(grant: &str) -> String {
    sample_with("metrics: {},", &format!("metrics: {{}}, outcall: {grant},"))
}

#[test]
fn upstreams_are_granted_by_name() {
    let config = parse(&with("{ upstreams: [mock-service] }")).unwrap();
    let grants = &config.policies["rate-limit"].grants;
    assert!(grants.has(Capability::Outcall));
    let granted = &grants.outcall.as_ref().unwrap().upstreams;
    assert_eq!(Vec::from_iter(granted), ["mock-service"]);
}

#[test]
fn a_grant_that_gives_nothing_is_a_problem_at_its_place() {
    for (grant, problem) in [
        (
            "{ upstreams: [mock-servic] }",
            "17: policies.rate-limit.grants.outcall.upstreams[0]: unknown upstream \"mock-servic\"; did you mean \"mock-service\"? known: mock-service",
        ),
        (
            "{ upstreams: [] }",
            "17: policies.rate-limit.grants.outcall.upstreams: must have at least one item",
        ),
        (
            "{ upstreams: [mock-service, mock-service] }",
            "17: policies.rate-limit.grants.outcall.upstreams: an item is listed twice",
        ),
        (
            "{}",
            "17: policies.rate-limit.grants.outcall: missing key \"upstreams\"",
        ),
        (
            "{ upstream: [mock-service], upstreams: [mock-service] }",
            "17: policies.rate-limit.grants.outcall.upstream: unknown key; did you mean \"upstreams\"? known: upstreams",
        ),
    ] {
        assert_eq!(problems(&with(grant)), [problem]);
    }
}

#[test]
fn a_grant_and_a_stub_contradict_each_other() {
    let text = with("{ upstreams: [mock-service] }");
    let text = text.replace("stub: [secrets]", "stub: [outcall]");
    let expected =
        "18: policies.rate-limit.stub[0]: outcall is granted as well: remove the grant or the stub";
    assert_eq!(problems(&text), [expected]);
}

#[test]
fn their_number_and_size_have_limits() {
    let limits = "time: 20ms, memory: 8MiB";
    let set = |more: &str| sample_with(limits, &format!("{limits}, {more}"));
    let config = parse(&set("outcalls: 0, outcall_body: 64MiB")).unwrap();
    let found = config.policies["rate-limit"].limits;
    assert_eq!((found.outcalls, found.outcall_body), (0, 64 << 20));
    for (more, problem) in [
        (
            "outcalls: 1001",
            "19: policies.rate-limit.limits.outcalls: must be 0 to 1000, found 1001",
        ),
        (
            "outcall_body: 65MiB",
            "19: policies.rate-limit.limits.outcall_body: must be 0B to 64MiB, found 65MiB",
        ),
    ] {
        assert_eq!(problems(&set(more)), [problem]);
    }
}
