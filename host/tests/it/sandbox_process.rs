//! What policies do to the process: its memory and its log, by the real binary.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, policy_on};
use crate::support::process::Portcullis;

const BAD: [(&str, &str); 1] = [("x-bad", "1")];

fn hostile(upstream: &MockService, mode: &str, terms: &str) -> String {
    let policies = [policy_on("hostile", "fixtures/hostile", terms)];
    let misbehaviour = format!("{{ hook: on_request, mode: {mode}, when_header: x-bad }}");
    config(
        &upstream.url(),
        &policies,
        &[("r", vec![closed("hostile", &misbehaviour)])],
    )
}

#[tokio::test]
async fn a_policy_that_grows_takes_no_more_memory_than_its_limit() {
    const LIMIT_MIB: usize = 128;
    /// Everything else that a fault needs for the first time.
    const SLACK_MIB: usize = 24;
    let upstream = MockService::start().await;
    let terms = format!("limits: {{ time: 30s, memory: {LIMIT_MIB}MiB }}");
    let gateway = Portcullis::start(&hostile(&upstream, "grow_memory", &terms)).await;
    let mut client = gateway.client().await;
    assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
    // Compiling the policy may have taken more than is in use now: the peak begins here.
    std::fs::write(format!("/proc/{}/clear_refs", gateway.id()), "5").unwrap();
    let before = gateway.memory_mib("VmHWM");
    for _ in 0..10 {
        assert_eq!(client.send(Method::GET, "/r", &BAD, "").await.status, 503);
    }
    let grown = gateway.memory_mib("VmHWM") - before;
    assert!(
        grown > LIMIT_MIB / 2,
        "the policy did not grow: {grown} MiB"
    );
    assert!(grown <= LIMIT_MIB + SLACK_MIB, "{grown} MiB");
    let kept = gateway.memory_mib("VmRSS").saturating_sub(before);
    assert!(kept <= SLACK_MIB, "{kept} MiB are kept after the faults");
    assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_flood_of_log_lines_ends_with_its_hook() {
    let upstream = MockService::start().await;
    let gateway =
        Portcullis::start(&hostile(&upstream, "log_flood", "limits: { time: 50ms }")).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let flooding = client.send(Method::GET, "/r", &BAD, "").await;
        assert!(
            flooding.status == 200 || flooding.status == 503,
            "{}",
            flooding.status
        );
        assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
    }
    gateway.wait_for_log("policy=\"hostile\"").await;
}

#[tokio::test]
async fn the_log_says_where_a_policy_was_when_it_trapped() {
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&hostile(&upstream, "trap", "limits: { time: 10s }")).await;
    let mut client = gateway.client().await;
    assert_eq!(client.send(Method::GET, "/r", &BAD, "").await.status, 503);
    gateway.wait_for_log("policy failed").await;
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("policy failed"))
        .unwrap();
    // One line; the message does without the backtrace, which is a field of its own.
    assert!(
        line.contains("policy failed: trap: wasm trap: wasm `unreachable` instruction executed"),
        "{line}"
    );
    assert!(line.contains("kind=\"trap\""), "{line}");
    let (_, rest) = line.split_once("backtrace=\"").unwrap();
    let (backtrace, _) = rest.split_once('"').unwrap();
    // The fixtures are built without names, as policies usually are: functions go by their index.
    for function in backtrace.split(" < ").filter(|function| *function != "…") {
        let (name, offset) = function.split_once("@0x").unwrap();
        assert!(name.starts_with("function["), "{line}");
        assert!(u64::from_str_radix(offset, 16).is_ok(), "{line}");
    }
}
