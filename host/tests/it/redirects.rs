//! Routes that answer themselves: redirects and fixed responses.

use http::Method;

use crate::support::{TestGateway, component};

#[tokio::test]
async fn a_redirect_changes_what_it_says_and_keeps_the_rest() {
    let gateway = TestGateway::start(
        "
routes:
  - { name: https, match: { path_prefix: /secure }, redirect: { scheme: https, status: 308 } }
  - { name: moved, match: { path_prefix: /old }, redirect: { path_prefix: /new } }
  - { name: away, match: { path: /away }, redirect: { host: www.example.com, path: /, keep_query: false } }
",
    )
    .await;
    for (path, status, location) in [
        ("/secure/x?a=1", 308, "https://gw.example/secure/x?a=1"),
        ("/old/x/?a=1", 302, "/new/x/?a=1"),
        ("/away?a=1", 302, "http://www.example.com/"),
    ] {
        let answer = gateway.get_with(path, &[("host", "gw.example:8080")]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("location"), location);
        assert!(answer.body.is_empty());
        assert!(!answer.headers.contains_key("x-portcullis-error"));
    }
    let labels = [
        ("portcullis_route", "moved"),
        ("http_response_status_code", "302"),
    ];
    let name = "http_server_request_duration_seconds_count";
    gateway.wait_for_metric(name, &labels, 1.0).await;
}

#[tokio::test]
async fn a_redirect_answers_a_request_with_a_body_and_the_next_one_as_well() {
    let gateway =
        TestGateway::start("routes: [{ name: r, redirect: { path: /x, status: 307 } }]").await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let answer = client.send(Method::POST, "/y", &[], "some text").await;
        assert_eq!(answer.status, 307);
    }
}

#[tokio::test]
async fn a_fixed_response_is_the_configs_or_a_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("icon.bin");
    std::fs::write(&file, [0, 159, 146, 150]).unwrap();
    let gateway = TestGateway::start(&format!(
        "
routes:
  - {{ name: text, match: {{ path: /robots.txt }}, respond: {{ body: \"Disallow: /\\n\", headers: {{ x-by: \"{{route}}\" }} }} }}
  - {{ name: file, match: {{ path: /icon }}, respond: {{ file: {}, headers: {{ content-type: image/x }} }} }}
  - {{ name: gone, respond: {{ status: 410 }} }}
",
        file.display()
    ))
    .await;
    let text = gateway.get("/robots.txt").await;
    assert_eq!(
        (text.status.as_u16(), text.text().as_str()),
        (200, "Disallow: /\n")
    );
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(text.header("x-by"), "text");
    let icon = gateway.get("/icon").await;
    assert_eq!(&icon.body[..], [0, 159, 146, 150]);
    assert_eq!(icon.header("content-type"), "image/x");
    let gone = gateway.get("/x").await;
    assert!(gone.status == 410 && gone.body.is_empty());
    let mut client = gateway.client().await;
    let head = client.send(Method::HEAD, "/robots.txt", &[], "").await;
    assert!(head.body.is_empty() && head.header("content-length") == "12");
}

#[tokio::test]
async fn a_file_that_is_missing_is_a_problem_of_the_config() {
    let refusal =
        TestGateway::refusal("routes: [{ name: r, respond: { file: /nowhere/at/all } }]").await;
    assert!(
        refusal.contains("routes[0].respond.file: /nowhere/at/all: No such file"),
        "{refusal}"
    );
}

#[tokio::test]
async fn policies_guard_a_fixed_response() {
    let gateway = TestGateway::start(&format!(
        "
policies: {{ key: {{ component: 'file:{}' }} }}
routes:
  - name: r
    respond: {{ body: secret }}
    policies: [{{ use: key, on_failure: closed, config: {{ header: x-api-key }} }}]
",
        component("require-header").display()
    ))
    .await;
    let refused = gateway.get("/").await;
    assert!(refused.status.is_client_error() && !refused.text().contains("secret"));
    let answer = gateway.get_with("/", &[("x-api-key", "1")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "secret")
    );
}
