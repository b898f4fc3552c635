//! Requests find their route and reach the upstream as they should.

use http::Method;
use mock_service::MockService;

use crate::support::TestGateway;

/// Routes that send everything to `upstream` under their own name: `/name/path`.
async fn named_routes(upstream: &MockService, matches: &[(&str, &str)]) -> TestGateway {
    let routes: Vec<String> = matches
        .iter()
        .map(|(name, matches)| {
            format!("  - {{ name: {name}, match: {matches}, rewrite: {{ add_prefix: /{name} }}, upstream: u }}\n")
        })
        .collect();
    let routes = routes.concat();
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes:\n{routes}",
        upstream.url()
    ))
    .await
}

/// The name of the route that took the request; `none` for a 404.
async fn taken_by(
    gateway: &TestGateway,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> String {
    let mut client = gateway.client().await;
    let answer = client.send(method, path, headers, "").await;
    if answer.status == 404 {
        return "none".to_owned();
    }
    let path = answer.json()["path"].as_str().unwrap().to_owned();
    path.split('/').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_seeds_route_reaches_the_service_without_its_prefix() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ mock-service: {{ endpoints: [{}] }} }}
routes:
  - name: service1
    match: {{ path_prefix: /api/service1 }}
    rewrite: {{ strip_prefix: /api/service1 }}
    upstream: mock-service
",
        upstream.url()
    ))
    .await;
    let answer = gateway.get("/api/service1/hello?a=1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["path"], "/hello");
    assert_eq!(answer.json()["query"], "a=1");
}

#[tokio::test]
async fn an_exact_host_wins_over_a_wildcard_and_a_wildcard_over_any() {
    let upstream = MockService::start().await;
    let routes = [
        ("any", "{}"),
        ("wide", "{ host: '*.example.com' }"),
        ("narrow", "{ host: '*.b.example.com' }"),
        ("exact", "{ host: api.b.example.com }"),
        ("v6", "{ host: '[::1]' }"),
        ("deep", "{ path_prefix: /very/deep/path }"),
    ];
    let gateway = named_routes(&upstream, &routes).await;
    for (host, path, route) in [
        ("api.b.example.com", "/", "exact"),
        ("API.b.Example.com:8080", "/", "exact"),
        ("api.b.example.com", "/very/deep/path", "exact"),
        ("other.b.example.com", "/", "narrow"),
        ("a.example.com", "/", "wide"),
        ("a.api.b.example.com:80", "/", "narrow"),
        ("example.com", "/", "any"),
        ("badexample.com", "/", "any"),
        ("[::1]:8080", "/", "v6"),
        ("[::1]", "/", "v6"),
        ("elsewhere", "/very/deep/path/x", "deep"),
    ] {
        let taken = taken_by(&gateway, Method::GET, path, &[("host", host)]).await;
        assert_eq!(taken, route, "{host} {path}");
    }
}

#[tokio::test]
async fn the_longest_prefix_of_whole_segments_wins() {
    let upstream = MockService::start().await;
    let routes = [
        ("short", "{ path_prefix: /api }"),
        ("long", "{ path_prefix: /api/v1/ }"),
    ];
    let gateway = named_routes(&upstream, &routes).await;
    for (path, route) in [
        ("/api", "short"),
        ("/api/", "short"),
        ("/api?a=/api/v1", "short"),
        ("/api/v10", "short"),
        ("/api/v1", "long"),
        ("/api/v1/", "long"),
        ("/api/v1/x?y", "long"),
        ("/apix", "none"),
        ("/API", "none"),
        ("/", "none"),
    ] {
        let taken = taken_by(&gateway, Method::GET, path, &[]).await;
        assert_eq!(taken, route, "{path}");
    }
}

#[tokio::test]
async fn a_method_wins_over_any_and_more_fields_over_fewer() {
    let upstream = MockService::start().await;
    let routes = [
        ("any", "{ path_prefix: /x }"),
        ("write", "{ path_prefix: /x, methods: [POST, PUT] }"),
        ("beta", "{ path_prefix: /x, headers: { x-channel: beta } }"),
        (
            "team",
            "{ path_prefix: /x, headers: { x-channel: beta, x-team: a } }",
        ),
    ];
    let gateway = named_routes(&upstream, &routes).await;
    let (beta, team) = (("x-channel", "beta"), ("x-team", "a"));
    for (method, headers, route) in [
        (Method::GET, vec![], "any"),
        (Method::POST, vec![], "write"),
        (Method::PUT, vec![beta, team], "write"),
        (Method::DELETE, vec![], "any"),
        (Method::GET, vec![beta], "beta"),
        (Method::GET, vec![("x-channel", "other"), beta], "beta"),
        (Method::GET, vec![("x-channel", "BETA")], "any"),
        (Method::GET, vec![team], "any"),
        (Method::GET, vec![beta, team], "team"),
    ] {
        let taken = taken_by(&gateway, method.clone(), "/x", &headers).await;
        assert_eq!(taken, route, "{method} {headers:?}");
    }
}

#[tokio::test]
async fn of_routes_that_ask_for_as_much_the_first_one_serves() {
    let upstream = MockService::start().await;
    let routes = [
        ("first", "{ headers: { x-a: '1' } }"),
        ("second", "{ headers: { x-b: '1' } }"),
    ];
    let gateway = named_routes(&upstream, &routes).await;
    let both = [("x-b", "1"), ("x-a", "1")];
    assert_eq!(taken_by(&gateway, Method::GET, "/", &both).await, "first");
    let second = [("x-b", "1")];
    assert_eq!(
        taken_by(&gateway, Method::GET, "/", &second).await,
        "second"
    );
}

#[tokio::test]
async fn a_request_without_a_route_gets_a_404_that_says_so() {
    let upstream = MockService::start().await;
    let gateway = named_routes(&upstream, &[("api", "{ path_prefix: /api }")]).await;
    let answer = gateway.get("/elsewhere").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("x-portcullis-error"), "no-route");
    let problem = answer.json();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["code"], "no-route");
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_rewrite_strips_then_adds_and_keeps_the_query_as_it_was() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: [{}] }} }}
routes:
  - name: versioned
    match: {{ path_prefix: /shop/api }}
    rewrite: {{ strip_prefix: /shop, add_prefix: /v2 }}
    upstream: u
  - name: as-it-is
    upstream: u
",
        upstream.url()
    ))
    .await;
    for (target, path, query) in [
        ("/shop/api/x?a=1&b=%20c", "/v2/api/x", "a=1&b=%20c"),
        ("/shop/api", "/v2/api", ""),
        ("/shop/api/y/%2e%2e/x", "/v2/api/x", ""),
        ("/shop/api/%2e%2e/x", "/shop/x", ""),
        ("/shopping?q=/shop/api", "/shopping", "q=/shop/api"),
        ("/x%20y//z?", "/x%20y/z", ""),
    ] {
        let echo = gateway.get(target).await.json();
        assert_eq!(echo["path"], path, "{target}");
        assert_eq!(echo["query"], query, "{target}");
    }
}
