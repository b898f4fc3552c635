//! What a config with problems leaves to be checked.

use super::{SAMPLE, parse, sample_with};
use crate::policy::{Capability, Limits, Policy};
use crate::sound::{Sound, SoundUse};

fn sound(text: &str) -> Sound {
    parse(text).expect_err("the config is invalid").sound
}

/// The policy of the sample with `from` replaced.
fn policy_with(from: &str, to: &str) -> Policy {
    let mut sound = sound(&sample_with(from, to));
    sound.policies.remove("rate-limit").expect("it is sound")
}

fn stubs(policy: &Policy) -> Vec<&str> {
    policy.stub.iter().map(|stub| stub.name()).collect()
}

#[test]
fn a_problem_elsewhere_leaves_policies_and_uses_sound() {
    for (from, to) in [
        ("workers: 2", "workers: two"),
        ("workers: 2", "wrokers: 2"),
        ("workers: 2", "workers: 2\nworkers: 3"),
        ("    upstream: mock-service", "    upstream: nowhere"),
        ("  - name: service1", "  - nmae: service1"),
        ("        on_failure: closed\n", ""),
        ("on_failure: closed", "on_failure: maybe"),
        ("redis://127.0.0.1:6379", "nothing"),
        (
            "listeners:\n  - { name: http, address: 0.0.0.0:8080 }\n",
            "",
        ),
    ] {
        let sound = sound(&sample_with(from, to));
        let policy = &sound.policies["rate-limit"];
        assert_eq!(policy.component.to_string(), "builtin:rate-limit");
        assert_eq!(stubs(policy), ["kv", "redis", "metrics", "secrets"], "{to}");
        assert_eq!(policy.limits.memory, 8 << 20, "{to}");
        let expected = SoundUse {
            route: 0,
            place: 0,
            policy: "rate-limit".to_owned(),
            config: serde_json::json!({ "limits": [{ "name": "token", "rate": 100 }] }),
        };
        assert_eq!(sound.uses, [expected], "{to}");
        assert!(sound.lines.locate("routes[0].policies[0].config").is_some());
    }
}

#[test]
fn a_use_with_a_problem_is_not_sound() {
    for (from, to) in [
        ("use: rate-limit", "use: rate-limti"),
        ("use: rate-limit", "use: 5"),
        ("        config:", "        confg:"),
        ("name: token, rate: 100", "name: token, name: twice"),
        ("    policies:\n", "    polices:\n"),
    ] {
        let sound = sound(&sample_with(from, to));
        assert_eq!(sound.uses, [], "{to}");
        assert_eq!(sound.policies.len(), 1, "{to}");
    }
}

#[test]
fn a_policy_whose_component_is_not_named_is_not_sound() {
    for to in [
        "",
        "component: rate-limit",
        "component: !x 5",
        "componet: builtin:rate-limit",
    ] {
        let sound = sound(&sample_with("component: builtin:rate-limit", to));
        assert!(sound.policies.is_empty(), "{to}");
        assert_eq!(sound.uses.len(), 1, "{to}");
    }
}

#[test]
fn a_capability_that_is_named_badly_is_not_missed() {
    for (from, to) in [
        ("binding: main", "binding: mian"),
        ("binding: main, prefix: \"rl:\"", "binding: main"),
        ("kv: { max_bytes: 1MiB }", "kv: 5"),
        ("kv: { max_bytes: 1MiB }", "kv:"),
        ("stub: [secrets]", "stub: [secrets, kv]"),
        ("upstreams: [mock-service]", "upstreams: [mock-servic]"),
    ] {
        let policy = policy_with(from, to);
        assert_eq!(
            stubs(&policy),
            ["kv", "redis", "metrics", "secrets"],
            "{to}"
        );
    }
    for (from, to) in [
        ("kv: { max_bytes: 1MiB }", "kw: { max_bytes: 1MiB }"),
        ("    grants:", "    grant:"),
        ("stub: [secrets]", "stub: [secret]"),
        ("stub: [secrets]", "\"st ub\": [secrets]"),
    ] {
        assert_eq!(policy_with(from, to).stub, Capability::ALL.into(), "{to}");
    }
}

#[test]
fn a_limit_in_doubt_is_the_highest() {
    for (from, to, memory) in [
        ("memory: 8MiB", "memory: 8", u64::MAX),
        ("memory: 8MiB", "memroy: 8MiB", u64::MAX),
        ("    limits:", "    limit:", u64::MAX),
        ("time: 20ms", "time: 20", 8 << 20),
        ("body: 4KiB", "body: 4", 8 << 20),
        (
            "    limits: { time: 20ms, memory: 8MiB, body: 4KiB }\n",
            "    isolation: none\n",
            Limits::default().memory,
        ),
    ] {
        assert_eq!(policy_with(from, to).limits.memory, memory, "{to}");
    }
}

#[test]
fn nothing_is_sound_of_what_can_not_be_read() {
    for text in [
        "",
        "[]",
        "routes: [",
        &SAMPLE.replace("workers: 2", "workers: ["),
    ] {
        assert_eq!(sound(text), Sound::default(), "{text}");
    }
}
