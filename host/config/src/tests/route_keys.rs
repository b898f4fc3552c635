//! What a route matches, rewrites, edits and answers.

use http::HeaderName;

use super::{parse, problems};
use crate::*;

/// A config whose one route, on line 3, has these keys beside its name.
fn config(keys: &str) -> String {
    format!(
        "listeners: [{{ name: http, address: 127.0.0.1:80 }}]
upstreams: {{ a: {{ endpoints: [http://a] }} }}
routes: [{{ name: r, {keys} }}]
"
    )
}

fn route(keys: &str) -> Route {
    let config = parse(&config(keys)).unwrap_or_else(|errors| panic!("{errors}"));
    config.routes[0].clone()
}

#[test]
fn a_match_holds_its_conditions() {
    let matches = route(
        "upstream: a, match: { path: /x/, headers: { X-A: { present: false } }, \
         cookies: { Beta: { prefix: v }, alpha: one }, query: { 'a b': '', c: { present: true } } }",
    )
    .matches;
    assert_eq!(matches.path.as_deref(), Some("/x/"));
    assert!(matches.matches_path("/x/") && !matches.matches_path("/x"));
    assert_eq!(
        matches.headers,
        [(HeaderName::from_static("x-a"), Condition::Absent)]
    );
    let named = |name: &str, condition| (name.to_owned(), condition);
    assert_eq!(
        matches.cookies,
        [
            named("Beta", Condition::Prefix("v".to_owned())),
            named("alpha", Condition::Exact("one".to_owned())),
        ]
    );
    assert_eq!(
        matches.query,
        [
            named("a b", Condition::Exact(String::new())),
            named("c", Condition::Present),
        ]
    );
}

#[test]
fn a_rewrite_and_edits_are_read() {
    let route = route(
        "upstream: a, rewrite: { path: /y, host: Inner:81 }, \
         request_headers: { set: { X-B: '1', x-a: '{route}' } }, \
         response_headers: { append: { x-c: '2' }, remove: [Server] }",
    );
    assert_eq!(route.rewrite.path.as_deref(), Some("/y"));
    assert_eq!(route.rewrite.host.as_deref(), Some("inner:81"));
    let names = |fields: &[(HeaderName, FieldText)]| -> Vec<String> {
        fields.iter().map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(names(&route.request_headers.set), ["x-a", "x-b"]);
    assert_eq!(
        route.request_headers.set[0].1,
        FieldText(vec![FieldPart::Route])
    );
    assert_eq!(names(&route.response_headers.append), ["x-c"]);
    assert_eq!(route.response_headers.remove, ["server"]);
}

#[test]
fn answers_have_their_defaults() {
    let Destination::Redirect(redirect) = route("redirect: { scheme: https }").destination else {
        panic!("no redirect");
    };
    assert!(redirect.status == 302 && redirect.keep_query && redirect.path.is_none());
    let Destination::Respond(response) = route("respond: { file: pages/x.html }").destination
    else {
        panic!("no response");
    };
    assert_eq!(response.status, 200);
    let file = "/etc/gw/pages/x.html".into();
    assert_eq!(response.body, Some(FixedBody::File(file)));
}

#[test]
fn each_slip_is_one_problem_with_its_path() {
    for (keys, problem) in [
        (
            "upstream: a, match: { path: /x, path_prefix: /y }",
            "match.path: a match has either this or path_prefix: remove one",
        ),
        (
            "upstream: a, match: { path: x }",
            "match.path: must start with /",
        ),
        (
            "upstream: a, match: { path: /x/* }",
            "match.path: must not hold *: the path is taken as it is",
        ),
        (
            "upstream: a, match: { query: { a: { prefix: b, present: true } } }",
            "match.query.a: expected one key: write { prefix: text } or { present: true }",
        ),
        (
            "upstream: a, match: { cookies: { a: 'b;c' } }",
            "match.cookies.a: a cookie's value has only visible ASCII characters and no ;",
        ),
        (
            "upstream: a, match: { cookies: { 'a b': c } }",
            "match.cookies[\"a b\"]: not the name of a cookie",
        ),
        (
            "upstream: a, rewrite: { path: /x, add_prefix: /y }",
            "rewrite.path: replaces the whole path: remove it, or strip_prefix and add_prefix",
        ),
        (
            "upstream: a, match: { path: /x }, rewrite: { strip_prefix: /y }",
            "rewrite.strip_prefix: must be a prefix of match.path, which is /x",
        ),
        (
            "upstream: a, request_headers: { set: { Host: b } }",
            "request_headers.set.Host: the host is changed with rewrite.host instead",
        ),
        (
            "upstream: a, request_headers: { remove: [Connection] }",
            "request_headers.remove[0]: belongs to one connection and is the gateway's: remove it here",
        ),
        (
            "upstream: a, response_headers: { set: { x: '{user}' } }",
            "response_headers.set.x: {user} is no placeholder: write {{user} for the text itself; known: {client.address}, {request.id}, {route}, {upstream}",
        ),
        (
            "upstream: a, response_headers: { append: { X: '1', x: '2' } }",
            "response_headers.append.x: the same field as X: case makes no difference",
        ),
        (
            "redirect: {}",
            "redirect: would send the client back here: write scheme, host, path or path_prefix",
        ),
        (
            "redirect: { path: /x, status: 305 }",
            "redirect.status: must be 301, 302, 303, 307 or 308",
        ),
        (
            "redirect: { scheme: ftp }",
            "redirect.scheme: must be http or https",
        ),
        (
            "redirect: { path: /x, path_prefix: /y }",
            "redirect.path_prefix: a redirect has either this or path: remove one",
        ),
        (
            "match: { path: /x }, redirect: { path_prefix: /y }",
            "redirect.path_prefix: replaces match.path_prefix, which is not there: write path",
        ),
        (
            "redirect: { path: /x }, respond: {}",
            "respond: a route has either this or redirect: remove one",
        ),
        (
            "upstream: a, mirror: { upstream: b }",
            "mirror.upstream: unknown upstream \"b\"; known: a",
        ),
        (
            "upstream: a, mirror: { upstream: a, percent: 0 }",
            "mirror.percent: must be 1 to 100, found 0",
        ),
        (
            "upstream: a, mirror: { upstream: a, max_body: 17MiB }",
            "mirror.max_body: must be 0B to 16MiB, found 17MiB",
        ),
        (
            "respond: {}, mirror: { upstream: a }",
            "mirror: copies what goes to an upstream or a split: remove it",
        ),
        (
            "respond: { status: 100 }",
            "respond.status: must be 200 to 599, found 100",
        ),
        (
            "respond: { status: 204, body: x }",
            "respond.body: a response with status 204 has no body: remove it",
        ),
        (
            "respond: { body: x, file: y }",
            "respond.file: a response has either this or body: remove one",
        ),
    ] {
        assert_eq!(
            problems(&config(keys)),
            [format!("3: routes[0].{problem}")],
            "{keys}"
        );
    }
}
