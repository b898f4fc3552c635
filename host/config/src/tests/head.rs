//! What the config says of every request's head.

use super::{parse, problems};
use crate::{EncodedSlashes, PathNormalisation};

const REST: &str = "
listeners: [{ name: a, address: 127.0.0.1:80 }]
upstreams: { u: { endpoints: [http://u] } }
";

fn with(head: &str) -> String {
    format!("{head}{REST}routes: []\n")
}

#[test]
fn the_head_is_treated_as_the_config_says() {
    let config = parse(&with(
        "path_normalisation: { merge_slashes: false, encoded_slashes: keep }
trusted_proxies: [10.0.0.0/8, '::1', 192.0.2.7]
via: edge-1",
    ))
    .unwrap();
    let expected = PathNormalisation {
        merge_slashes: false,
        encoded_slashes: EncodedSlashes::Keep,
    };
    assert_eq!(config.path_normalisation, expected);
    let trusted: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]);
    assert_eq!(config.via.as_deref(), Some("edge-1"));
    assert_eq!(parse(&with("via: none")).unwrap().via, None);
}

#[test]
fn what_the_head_can_not_be_is_said_with_a_remedy() {
    for (head, problem) in [
        (
            "path_normalisation: { encoded_slashes: allow }",
            "1: path_normalisation.encoded_slashes: expected one of reject, keep, decode, found \"allow\"",
        ),
        (
            "path_normalisation: { merge: true }",
            "1: path_normalisation.merge: unknown key; known: encoded_slashes, merge_slashes",
        ),
        (
            "trusted_proxies: [10.0.0.1/8]",
            "1: trusted_proxies[0]: has bits beyond its prefix: write 10.0.0.0/8",
        ),
        (
            "trusted_proxies: [lb.internal]",
            "1: trusted_proxies[0]: expected a network such as 10.0.0.0/8, or an IP address",
        ),
        (
            "via: my gateway",
            "1: via: expected a name of 1 to 64 letters, digits, - and . without spaces, or none",
        ),
    ] {
        assert_eq!(problems(&with(head)), [problem], "{head}");
    }
}

#[test]
fn a_prefix_that_no_normalised_path_has_is_a_problem() {
    for (prefix, remedy) in [
        (
            "/%61pi",
            "paths are normalised before they are matched: write /api",
        ),
        (
            "/caf%c3%a9",
            "paths are normalised before they are matched: write /caf%C3%A9",
        ),
        (
            "/a/%2e%2e/b",
            "paths are normalised before they are matched: write /b",
        ),
        (
            "/a/..;/b",
            "a path segment that some servers take for a dot segment",
        ),
        ("/%00", "a control character in the request's target"),
    ] {
        let text = format!(
            "{REST}routes: [{{ name: r, upstream: u, match: {{ path_prefix: '{prefix}' }} }}]"
        );
        let expected = format!("4: routes[0].match.path_prefix: {remedy}");
        assert_eq!(problems(&text), [expected], "{prefix}");
    }
}
