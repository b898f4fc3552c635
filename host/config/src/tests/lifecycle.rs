//! Reload, drain and access log.

use std::time::Duration;

use http::HeaderName;

use super::{SAMPLE, parse, problems};
use crate::{AccessLog, LogTarget};

#[test]
fn files_are_watched_and_requests_not_logged_unless_the_config_says_otherwise() {
    let config = parse(SAMPLE).unwrap();
    assert!(config.watch);
    assert_eq!(
        (config.drain_delay, config.access_log),
        (Duration::ZERO, None)
    );
    let config = parse(&format!("{SAMPLE}watch: false\ndrain_delay: 5s\n")).unwrap();
    assert_eq!(
        (config.watch, config.drain_delay),
        (false, Duration::from_secs(5))
    );
}

fn access_log(text: &str) -> AccessLog {
    let config = parse(&format!("{SAMPLE}access_log: {text}\n")).unwrap();
    config.access_log.unwrap()
}

#[test]
fn an_access_log_has_a_target_and_always_hides_what_is_secret() {
    let log = access_log("{ path: stdout }");
    assert_eq!((log.target, log.sample), (LogTarget::Stdout, 1.0));
    assert_eq!(log.headers, [] as [HeaderName; 0]);
    assert!(log.redact.contains("access_token") && log.redact.contains("authorization"));
    let log =
        access_log("{ path: logs/a.log, sample: 0.25, headers: [X-Tenant], redact: [Ticket] }");
    assert_eq!(log.target, LogTarget::File("/etc/gw/logs/a.log".into()));
    assert_eq!(log.sample, 0.25);
    assert_eq!(log.headers, [HeaderName::from_static("x-tenant")]);
    assert!(log.redact.contains("ticket") && log.redact.contains("password"));
    assert_eq!(access_log("{ path: stderr }").target, LogTarget::Stderr);
}

#[test]
fn bad_values_are_named_with_their_place() {
    let lines = SAMPLE.lines().count();
    let table = [
        (
            "drain_delay: 11m",
            "drain_delay: must be 0s to 10m, found 11m",
        ),
        (
            "watch: maybe",
            "watch: expected true or false, found \"maybe\"",
        ),
        ("access_log: {}", "access_log: missing key \"path\""),
        (
            "access_log: { path: '' }",
            "access_log.path: must not be empty",
        ),
        (
            "access_log: { path: a, sample: 2 }",
            "access_log.sample: must be 0 to 1, found 2",
        ),
        (
            "access_log: { path: a, headers: ['a b'] }",
            "access_log.headers[0]: \"a b\" is not a header field's name",
        ),
        (
            "access_log: { path: a, redact: [''] }",
            "access_log.redact[0]: expected the name of a query parameter or header field",
        ),
    ];
    for (text, problem) in table {
        let expected = format!("{}: {problem}", lines + 1);
        assert_eq!(problems(&format!("{SAMPLE}{text}\n")), [expected], "{text}");
    }
}
