//! Routes are told apart by exact paths, cookies and parameters of the query.

use mock_service::MockService;

use crate::support::TestGateway;

/// The names of the routes that take these requests, each a path and a cookie field.
async fn taken_by(routes: &[(&str, &str)], requests: &[(&str, &str)]) -> Vec<String> {
    let upstream = MockService::start().await;
    let routes: Vec<String> = routes
        .iter()
        .map(|(name, matches)| {
            format!("  - {{ name: {name}, match: {matches}, rewrite: {{ path: /{name} }}, upstream: u }}\n")
        })
        .collect();
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes:\n{}",
        upstream.url(),
        routes.concat()
    ))
    .await;
    let mut taken = Vec::new();
    for (path, cookie) in requests {
        let fields = [("cookie", *cookie)];
        let fields = if cookie.is_empty() { &[][..] } else { &fields };
        let answer = gateway.get_with(path, fields).await;
        taken.push(if answer.status == 404 {
            "none".to_owned()
        } else {
            answer.json()["path"].as_str().unwrap()[1..].to_owned()
        });
    }
    taken
}

#[tokio::test]
async fn an_exact_path_wins_over_every_prefix() {
    let routes = [
        ("prefix", "{ path_prefix: /a/b }"),
        ("exact", "{ path: /a/b }"),
        ("slash", "{ path: /a/b/ }"),
    ];
    let requests = [
        ("/a/b", ""),
        ("/a/b?x", ""),
        ("/a/b/", ""),
        ("/a/b/c", ""),
        ("/a", ""),
    ];
    let taken = taken_by(&routes, &requests).await;
    assert_eq!(taken, ["exact", "exact", "slash", "prefix", "none"]);
}

#[tokio::test]
async fn a_cookie_chooses_a_canary() {
    let routes = [
        ("stable", "{}"),
        ("canary", "{ cookies: { group: canary } }"),
        ("beta", "{ cookies: { group: { prefix: beta- } } }"),
    ];
    let requests = [
        ("/", ""),
        ("/", "group=canary"),
        ("/", "a=1; group=beta-2; b=2"),
        ("/", "group=canary2"),
        ("/", "othergroup=canary"),
    ];
    let taken = taken_by(&routes, &requests).await;
    assert_eq!(taken, ["stable", "canary", "beta", "stable", "stable"]);
}

#[tokio::test]
async fn parameters_are_decoded_and_any_of_several_will_do() {
    let routes = [
        ("any", "{}"),
        ("debug", "{ query: { debug: { present: true } } }"),
        ("both", "{ query: { debug: { present: true }, v: 'a b' } }"),
        ("off", "{ query: { debug: { present: false }, v: 'a b' } }"),
    ];
    let requests = [
        ("/", ""),
        ("/?debug", ""),
        ("/?v=1&debug=1&v=a%20b", ""),
        ("/?v=a+b", ""),
        ("/?v=a%2520b", ""),
    ];
    let taken = taken_by(&routes, &requests).await;
    assert_eq!(taken, ["any", "debug", "both", "off", "any"]);
}

#[tokio::test]
async fn fields_are_matched_by_their_start_and_by_their_absence() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: [{}] }} }}
routes:
  - {{ name: v2, match: {{ headers: {{ accept: {{ prefix: application/v2 }} }} }}, rewrite: {{ path: /v2 }}, upstream: u }}
  - {{ name: bare, match: {{ headers: {{ accept: {{ present: false }} }} }}, rewrite: {{ path: /bare }}, upstream: u }}
",
        upstream.url()
    ))
    .await;
    for (fields, path) in [
        (&[("accept", "application/v2+json")][..], "/v2"),
        (&[], "/bare"),
    ] {
        assert_eq!(gateway.get_with("/", fields).await.json()["path"], path);
    }
    let other = gateway.get_with("/", &[("accept", "text/html")]).await;
    assert_eq!(other.status, 404);
}
