//! Where a route's requests go: what can be written, and what is wrong with it.

use http::HeaderName;

use super::{parse, problems};
use crate::{Destination, HashKey, Share, Split};

/// A config whose one route, on line 5, has these keys beside its name.
fn config(keys: &str) -> String {
    format!(
        "listeners: [{{ name: http, address: 127.0.0.1:80 }}]
upstreams:
  a: {{ endpoints: [http://a] }}
  b: {{ endpoints: [http://b] }}
routes: [{{ name: r, {keys} }}]
"
    )
}

fn destination(keys: &str) -> Destination {
    let config = parse(&config(keys)).unwrap_or_else(|errors| panic!("{errors}"));
    config.routes[0].destination.clone()
}

#[test]
fn a_split_keeps_the_order_of_the_file() {
    let split = |sticky| {
        let share = |upstream: &str, weight| Share {
            upstream: upstream.to_owned(),
            weight,
        };
        let shares = vec![share("b", 9), share("a", 0)];
        Destination::Split(Split { shares, sticky })
    };
    let shares = "split: [{ upstream: b, weight: 9 }, { upstream: a, weight: 0 }]";
    let user = HeaderName::from_static("x-user");
    for (sticky, expected) in [
        ("", None),
        (
            ", sticky: { cookie: User }",
            Some(HashKey::Cookie("User".to_owned())),
        ),
        (", sticky: { header: X-User }", Some(HashKey::Header(user))),
        (", sticky: client_address", Some(HashKey::ClientAddress)),
    ] {
        assert_eq!(destination(&format!("{shares}{sticky}")), split(expected));
    }
}

#[test]
fn each_slip_is_one_problem_with_its_path() {
    let one = "split: [{ upstream: a, weight: 1 }]";
    for (keys, problem) in [
        (
            "deadline: 1s".to_owned(),
            "upstream: is missing: a route needs this, split, redirect or respond",
        ),
        (
            format!("upstream: a, {one}"),
            "split: a route has either this or upstream: remove one",
        ),
        ("split: []".to_owned(), "split: must have at least one item"),
        (
            "split: [{ upstream: a }]".to_owned(),
            "split[0]: missing key \"weight\"",
        ),
        (
            "split: [{ upstream: a, weight: 0 }, { upstream: b, weight: 0 }]".to_owned(),
            "split: every weight is 0: give one upstream a weight",
        ),
        (
            "split: [{ upstream: a, weight: -1 }]".to_owned(),
            "split[0].weight: must be 0 to 1000000, found -1",
        ),
        (
            "split: [{ upstream: a, weight: 1 }, { upstream: a, weight: 2 }]".to_owned(),
            "split[1].upstream: the same upstream as in routes[0].split[0]",
        ),
        (
            "split: [{ upstream: c, weight: 1 }]".to_owned(),
            "split[0].upstream: unknown upstream \"c\"; known: a, b",
        ),
        (
            "upstream: a, sticky: { cookie: user }".to_owned(),
            "sticky: belongs to a split: remove it, or write split",
        ),
        (
            format!("{one}, sticky: {{}}"),
            "sticky: expected one key: write client_address, { header: name } or { cookie: name }",
        ),
        (
            format!("{one}, sticky: {{ cookie: a, header: b }}"),
            "sticky: expected one key: write client_address, { header: name } or { cookie: name }",
        ),
        (
            format!("{one}, sticky: {{ cookie: 'a b' }}"),
            "sticky: not the name of a cookie",
        ),
    ] {
        assert_eq!(
            problems(&config(&keys)),
            [format!("5: routes[0].{problem}")],
            "{keys}"
        );
    }
}
