//! The fields of allowed and of refused requests.

use portcullis_keys::{Selector, Source};

use super::*;
use crate::cost::Cost;
use crate::gcra::{Rate, Standing};
use crate::limits::Limit;

/// Limits of those names; a name in capitals only watches.
pub(crate) fn limits(names: &[&str]) -> Limits {
    let limit = |name: &&str| Limit {
        name: name.to_lowercase(),
        rate: Rate::new(100, 60_000_000, 20),
        requests: 100,
        per_seconds: 60,
        burst: 20,
        key: vec![Selector {
            sources: vec![Source::Route],
        }],
        cost: Cost::Fixed(1),
        lease: 0,
        is_shadow: name.chars().all(char::is_uppercase),
    };
    Limits::new(names.iter().map(limit).collect())
}

pub(crate) fn decision(limits: &Limits, standings: &[(bool, u32, u64)]) -> Decision {
    struct Nothing;
    impl portcullis_keys::Facts for Nothing {
        fn header(&self, _: &str) -> Option<String> {
            None
        }
        fn cookie(&self, _: &str) -> Option<String> {
            None
        }
        fn query(&self, _: &str) -> Option<String> {
            None
        }
        fn shared(&self, _: &str) -> Option<String> {
            None
        }
        fn attribute(&self, _: &str) -> Option<String> {
            None
        }
    }
    Decision::collect(&limits.demands(&Nothing), |i| {
        let (allowed, remaining, wait_us) = standings[i];
        Standing {
            allowed,
            remaining,
            wait_us,
        }
    })
}

#[test]
fn allowed_requests_are_told_all_limits_but_those_that_watch() {
    let limits = limits(&["token", "address", "WATCH", "day"]);
    let decided = decision(
        &limits,
        &[
            (true, 19, 600_000),
            (true, 4, 3_000_001),
            (false, 0, 9_000_000),
            (true, 7, 0),
        ],
    );
    assert_eq!(
        rate_limit(&limits, &decided),
        r#""token";r=19;t=1, "address";r=4;t=4, "day";r=7;t=0"#
    );
    assert_eq!(legacy(&limits, &decided), Some([20, 4, 4]));
    assert!(!limits.policy_field().contains("watch"));
}

#[test]
fn refused_requests_are_told_the_limits_that_refuse() {
    let limits = limits(&["token", "address", "day"]);
    let decided = decision(
        &limits,
        &[(false, 0, 1), (true, 4, 90_000_000), (false, 0, 2_000_001)],
    );
    assert_eq!(
        rate_limit(&limits, &decided),
        r#""token";r=0;t=1, "day";r=0;t=3"#
    );
    assert_eq!(legacy(&limits, &decided), Some([20, 0, 3]));
    assert_eq!(retry_after(&decided), 3);
}

#[test]
fn retry_after_is_rounded_up_and_never_zero() {
    let limits = limits(&["token"]);
    for (wait_us, seconds) in [
        (0, 1),
        (1, 1),
        (1_000_000, 1),
        (1_000_001, 2),
        (59_999_999, 60),
    ] {
        let refused = decision(&limits, &[(false, 0, wait_us)]);
        assert_eq!(retry_after(&refused), seconds, "{wait_us}");
    }
}

#[test]
fn limits_that_only_watch_tell_nothing() {
    let limits = limits(&["A", "B"]);
    let decided = decision(&limits, &[(false, 0, 1), (true, 1, 1)]);
    assert!(decided.allowed());
    assert_eq!(legacy(&limits, &decided), None);
    assert_eq!(
        (rate_limit(&limits, &decided), limits.policy_field()),
        (String::new(), "")
    );
    assert_eq!(policy_item("token", 100, 60), r#""token";q=100;w=60"#);
}
