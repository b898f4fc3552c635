use serde_json::{Value, json};

use super::*;

fn rules(value: Value) -> Rules {
    serde_json::from_value::<Config>(value)
        .unwrap()
        .rules()
        .unwrap()
}

const PREFLIGHT: Kind = Kind::Preflight {
    private_network: false,
};

#[test]
fn answers_have_the_fields_of_their_kind() {
    let rules = rules(json!({
        "origins": ["https://a.example"], "methods": ["GET", "PATCH"], "headers": ["X-A", "x-b"], "expose_headers": ["X-C"],
        "credentials": true, "max_age": "10m", "private_network": true,
    }));
    assert_eq!(
        rules.fields(Kind::Actual, "https://a.example"),
        [
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-c"),
        ]
    );
    let preflight = [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PATCH"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-max-age", "600"),
    ];
    assert_eq!(rules.fields(PREFLIGHT, "https://a.example"), preflight);
    let private = rules.fields(
        Kind::Preflight {
            private_network: true,
        },
        "https://a.example",
    );
    assert_eq!(private[..5], preflight);
    assert_eq!(private[5], ("access-control-allow-private-network", "true"));
}

#[test]
fn what_is_not_configured_is_not_said() {
    let rules = rules(json!({ "origins": ["*"] }));
    assert_eq!(
        rules.fields(Kind::Actual, "https://a.example"),
        [("access-control-allow-origin", "*")]
    );
    let private = rules.fields(
        Kind::Preflight {
            private_network: true,
        },
        "https://a.example",
    );
    assert_eq!(
        private,
        [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, HEAD, POST")
        ]
    );
}

#[test]
fn answers_vary_by_what_they_depend_on() {
    let open = rules(json!({ "origins": ["*"] }));
    let listed = rules(json!({ "origins": ["https://a.example"] }));
    let private = rules(json!({ "origins": ["https://a.example"], "private_network": true }));
    assert!(open.varies_by(false).is_empty());
    assert_eq!(
        open.varies_by(true),
        [
            "Access-Control-Request-Method",
            "Access-Control-Request-Headers"
        ]
    );
    assert_eq!(listed.varies_by(false), ["Origin"]);
    assert_eq!(listed.varies_by(true)[0], "Origin");
    assert_eq!(
        (listed.varies_by(true).len(), private.varies_by(true).len()),
        (3, 4)
    );
}

#[test]
fn vary_gets_what_is_missing_and_nothing_twice() {
    let present = |members: &[&str]| {
        members
            .iter()
            .map(|member| (*member).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(missing_in_vary(&[], &["Origin"]).as_deref(), Some("Origin"));
    assert_eq!(
        missing_in_vary(&present(&["accept-encoding", "ORIGIN"]), &["Origin"]),
        None
    );
    assert_eq!(
        missing_in_vary(&present(&["origin"]), &["Origin", "B"]).as_deref(),
        Some("B")
    );
    assert_eq!(missing_in_vary(&present(&["*"]), &["Origin"]), None);
    assert_eq!(missing_in_vary(&[], &[]), None);
}
