//! Keys differ when callers do, and only then.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A request as a table: the mark of the kind and the name give the value.
#[derive(Default)]
pub(crate) struct Request(HashMap<String, String>);

impl Request {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Facts for Request {
    fn header(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.0.get(&format!(";{name}")).cloned()
    }

    fn query(&self, name: &str) -> Option<String> {
        self.0.get(&format!("?{name}")).cloned()
    }

    fn shared(&self, name: &str) -> Option<String> {
        self.0.get(&format!(">{name}")).cloned()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

fn header(name: &str) -> Source {
    Source::Header(name.to_owned())
}

fn first(sources: impl Into<Vec<Source>>) -> Selector {
    Selector {
        sources: sources.into(),
    }
}

fn key(selectors: &[Selector], request: &Request) -> String {
    let mut out = String::new();
    append(selectors, request, &mut out);
    out
}

#[test]
fn each_kind_has_its_mark() {
    let request = Request::default()
        .with("x-a", "1")
        .with(";sid", "2")
        .with("?k", "3")
        .with(">identity", "4")
        .with(ROUTE, "5")
        .with(CLIENT_ADDRESS, "192.0.2.6");
    for (source, expected) in [
        (header("x-a"), "x-a=1"),
        (Source::Cookie("sid".to_owned()), ";sid=2"),
        (Source::Query("k".to_owned()), "?k=3"),
        (Source::Shared("identity".to_owned()), ">identity=4"),
        (Source::Route, "/5"),
        (Source::ClientAddress, "@192.0.2.6"),
    ] {
        assert_eq!(key(&[first([source])], &request), expected);
    }
}

#[test]
fn a_missing_or_empty_value_falls_back() {
    let selectors = [first([header("x-api-key"), Source::ClientAddress])];
    let request = Request::default().with(CLIENT_ADDRESS, "192.0.2.7");
    assert_eq!(key(&selectors, &request), "@192.0.2.7");
    let request = request.with("x-api-key", "");
    assert_eq!(key(&selectors, &request), "@192.0.2.7");
    let request = request.with("x-api-key", "abc");
    assert_eq!(key(&selectors, &request), "x-api-key=abc");
}

#[test]
fn what_is_absent_shares_one_bucket() {
    let selectors = [
        first([header("x-api-key"), header("x-user")]),
        first([Source::Route]),
    ];
    assert_eq!(key(&selectors, &Request::default()), "absent,absent");
    assert_eq!(
        key(&selectors, &Request::default().with(ROUTE, "service1")),
        "absent,/service1"
    );
}

#[test]
fn no_value_can_pose_as_something_else() {
    let selectors = [first([
        header("x-api-key"),
        Source::Cookie("x-api-key".to_owned()),
        Source::Query("x-api-key".to_owned()),
        Source::Shared("x-api-key".to_owned()),
        Source::ClientAddress,
    ])];
    let mut keys = vec![key(&selectors, &Request::default())];
    for place in [
        "x-api-key",
        ";x-api-key",
        "?x-api-key",
        ">x-api-key",
        CLIENT_ADDRESS,
    ] {
        for text in ["@192.0.2.7", "192.0.2.7", "absent", "x-api-key=1"] {
            keys.push(key(&selectors, &Request::default().with(place, text)));
        }
    }
    // "@192.0.2.7" and "192.0.2.7" as the attribute are no two addresses: the second is one, the first is text.
    let distinct: HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
}

#[test]
fn an_address_that_is_none_stays_apart() {
    let request = Request::default().with(CLIENT_ADDRESS, "unix");
    assert_eq!(key(&[first([Source::ClientAddress])], &request), "@unix");
}

#[test]
fn long_and_odd_values_are_hashed_as_sha256sum_does() {
    let hashed = |value: &str| {
        key(
            &[first([header("k")])],
            &Request::default().with("k", value),
        )
    };
    assert_eq!(hashed("a b"), "k=#c8687a08aa5d6ed2044328fa6a697ab8");
    assert_eq!(hashed(&"x".repeat(MAX_READABLE)).len(), 2 + MAX_READABLE);
    assert_eq!(hashed(&"x".repeat(65_536)).len(), 3 + 32);
}

proptest! {
    #[test]
    fn keys_are_short_safe_and_differ_when_the_values_differ(a in "\\PC{1,60}", b in "\\PC{1,60}") {
        let both = [first([header("x-api-key")]), first([Source::Route])];
        let of = |x: &str, y: &str| key(&both, &Request::default().with("x-api-key", x).with(ROUTE, y));
        let text = of(&a, &b);
        prop_assert!(text.len() <= 100 && text.is_ascii());
        let reserved = text.contains(['{', '}', ' ', ':']);
        prop_assert!(!reserved, "{}", text);
        prop_assert_eq!(of(&a, &b) == of(&b, &a), a == b);
    }
}
