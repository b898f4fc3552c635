use serde_json::{Value, json};

use super::*;

struct Request {
    method: &'static str,
    target: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

impl Facts for Request {
    fn target(&self) -> Target {
        Target {
            method: self.method.to_owned(),
            path_with_query: self.target.to_owned(),
        }
    }

    fn fields(&self) -> (usize, u64) {
        (
            self.fields.len(),
            self.fields
                .iter()
                .map(|(name, value)| (name.len() + value.len()) as u64)
                .sum(),
        )
    }

    fn header(&self, name: &str) -> Option<String> {
        self.fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    }

    fn values(&self, name: &str) -> usize {
        self.fields
            .iter()
            .filter(|(known, _)| *known == name)
            .count()
    }
}

fn check(
    config: Value,
    method: &'static str,
    target: &'static str,
    fields: &[(&'static str, &'static str)],
) -> Result<(), Refusal> {
    let config: Config = serde_json::from_value(config).unwrap();
    config.limits().unwrap().check(&Request {
        method,
        target,
        fields: fields.to_vec(),
    })
}

#[test]
fn methods_are_those_of_the_list_in_their_case() {
    let config = json!({ "methods": ["GET", "POST"] });
    assert_eq!(check(config.clone(), "GET", "/", &[]), Ok(()));
    for method in ["HEAD", "get", "DELETE"] {
        assert_eq!(
            check(config.clone(), method, "/", &[]),
            Err(Refusal::Method("GET, POST".to_owned()))
        );
    }
}

#[test]
fn paths_and_queries_are_measured_apart() {
    let config = json!({ "max_path": "4B", "max_query": "5B", "max_query_parameters": 2 });
    for (target, expected) in [
        ("/abc", Ok(())),
        ("/abcd", Err(Refusal::Path(4))),
        ("/abc?a=1&b", Ok(())),
        ("/abc?a=1&bc", Err(Refusal::Query(5))),
        ("/?a&b&", Ok(())),
        ("/?a&b&c", Err(Refusal::QueryParameters(2))),
        ("/?&&&&", Ok(())),
        ("/?a?b", Ok(())),
    ] {
        assert_eq!(
            check(config.clone(), "GET", target, &[]),
            expected,
            "{target}"
        );
    }
    assert_eq!(
        check(
            json!({ "max_query": "0B", "max_query_parameters": 0 }),
            "GET",
            "/?",
            &[]
        ),
        Ok(())
    );
}

#[test]
fn fields_are_counted_and_measured() {
    let fields = [("a", "12"), ("b", "3")];
    assert_eq!(
        check(
            json!({ "max_headers": 2, "max_header_bytes": "5B" }),
            "GET",
            "/",
            &fields
        ),
        Ok(())
    );
    assert_eq!(
        check(json!({ "max_headers": 1 }), "GET", "/", &fields),
        Err(Refusal::Headers(1))
    );
    assert_eq!(
        check(json!({ "max_header_bytes": "4B" }), "GET", "/", &fields),
        Err(Refusal::HeaderBytes(4))
    );
}

#[test]
fn required_fields_are_all_named_when_they_are_missing() {
    let config = json!({ "required_headers": ["X-A", "x-b", "x-c"] });
    let missing = |names: &[&str]| {
        Err(Refusal::RequiredHeaders(
            names.iter().map(|name| (*name).to_owned()).collect(),
        ))
    };
    assert_eq!(
        check(config.clone(), "GET", "/", &[("x-a", "1"), ("x-b", "")]),
        missing(&["x-b", "x-c"])
    );
    assert_eq!(
        check(
            config,
            "GET",
            "/",
            &[("x-a", "1"), ("x-b", "2"), ("x-c", "3")]
        ),
        Ok(())
    );
}

#[test]
fn bodies_are_measured_by_what_they_say() {
    let config = json!({ "max_body": "10B" });
    for (length, expected) in [
        ("0", Ok(())),
        ("10", Ok(())),
        ("11", Err(Refusal::Body(10))),
        ("99999999999999999999", Ok(())),
    ] {
        assert_eq!(
            check(config.clone(), "POST", "/", &[("content-length", length)]),
            expected,
            "{length}"
        );
    }
    assert_eq!(check(config, "POST", "/", &[]), Ok(()));
    let config = json!({ "length_required": true });
    assert_eq!(
        check(config.clone(), "POST", "/", &[]),
        Err(Refusal::Length)
    );
    assert_eq!(
        check(config.clone(), "POST", "/", &[("content-length", "0")]),
        Ok(())
    );
    assert_eq!(check(config, "GET", "/", &[]), Ok(()));
}

#[test]
fn media_types_are_asked_of_what_has_a_body() {
    let config = json!({ "content_types": ["application/json", "text/*"] });
    let refused = || Err(Refusal::ContentType("application/json, text/*".to_owned()));
    for (method, fields, expected) in [
        (
            "POST",
            &[
                ("content-length", "1"),
                ("content-type", "application/json; charset=utf-8"),
            ][..],
            Ok(()),
        ),
        (
            "POST",
            &[("content-length", "1"), ("content-type", "text/csv")],
            Ok(()),
        ),
        (
            "POST",
            &[("content-length", "1"), ("content-type", "image/png")],
            refused(),
        ),
        (
            "POST",
            &[
                ("content-length", "1"),
                ("content-type", "application/json"),
                ("content-type", "image/png"),
            ],
            refused(),
        ),
        ("POST", &[("content-length", "1")], refused()),
        ("POST", &[("content-length", "0")], Ok(())),
        (
            "POST",
            &[("content-length", "0"), ("content-type", "image/png")],
            Ok(()),
        ),
        ("POST", &[], refused()),
        ("POST", &[("content-type", "text/csv")], Ok(())),
        ("GET", &[], Ok(())),
        ("GET", &[("content-type", "image/png")], refused()),
        ("DELETE", &[("content-length", "1")], refused()),
    ] {
        assert_eq!(
            check(config.clone(), method, "/", fields),
            expected,
            "{method} {fields:?}"
        );
    }
}

#[test]
fn the_first_limit_in_the_documented_order_answers() {
    let config = json!({ "methods": ["GET"], "max_path": "1B", "max_headers": 1, "required_headers": ["x-a"], "content_types": ["a/b"] });
    assert!(matches!(
        check(config.clone(), "POST", "/long", &[]),
        Err(Refusal::Method(_))
    ));
    assert_eq!(
        check(config.clone(), "GET", "/long", &[]),
        Err(Refusal::Path(1))
    );
    assert_eq!(
        check(config, "GET", "/", &[("b", ""), ("c", "")]),
        Err(Refusal::Headers(1))
    );
}
