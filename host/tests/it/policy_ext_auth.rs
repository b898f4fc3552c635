//! The policy ext-auth in a running gateway, with a scripted service that decides.

use std::time::Duration;

use mock_service::{MockService, Step};

use crate::policy_config::{builtin, closed, config, received};
use crate::support::{TestGateway, eventually, metric};

const USUAL: &str =
    "upstream: auth, path: /check, upstream_headers: [x-user], identity_header: x-user";

async fn gateway(api: &MockService, auth: &MockService, policy_config: &str) -> TestGateway {
    let terms =
        "grants: { kv: {}, metrics: {}, outcall: { upstreams: [auth] } }, limits: { time: 10s }";
    let uses = [(
        "r",
        vec![closed("ext-auth", &format!("{{ {policy_config} }}"))],
    )];
    let text = config(&api.url(), &[builtin("ext-auth", terms)], &uses);
    let upstreams = format!("upstreams: {{ auth: {{ endpoints: ['{}'] }}, ", auth.url());
    TestGateway::start(&text.replacen("upstreams: { ", &upstreams, 1)).await
}

fn yes() -> Step {
    Step::respond(200, "").with_header("x-user", "alice")
}

#[tokio::test]
async fn the_service_is_told_of_the_request_and_its_words_go_to_the_upstream() {
    let (api, auth) = (MockService::start().await, MockService::start().await);
    auth.script("/check", vec![yes()]);
    let gateway = gateway(&api, &auth, USUAL).await;
    let headers = [
        ("authorization", "Bearer t"),
        ("x-user", "root"),
        ("x-forwarded-uri", "/forged"),
        ("x-forwarded-method", "DELETE"),
    ];
    let answer = gateway.get_with("/r/x?a=1", &headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(received(&answer, "x-user"), "alice");
    let asked = &auth.requests_to("/check")[0];
    let told = |name: &str| {
        let mut values = asked.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert_eq!(values.next(), None, "{name} twice");
        value.to_owned()
    };
    assert_eq!(
        (asked.method.as_str(), told("authorization").as_str()),
        ("GET", "Bearer t")
    );
    assert_eq!(told("x-forwarded-uri"), "/r/x?a=1");
    assert_eq!(told("x-forwarded-method"), "GET");
    assert_eq!(told("x-forwarded-proto"), "http");
    assert_eq!(told("x-forwarded-for"), "127.0.0.1");
    assert_eq!(told("x-forwarded-host"), gateway.address.to_string());
    assert_eq!(told("x-user"), "");
}

#[tokio::test]
async fn a_refusal_is_the_clients() {
    let (api, auth) = (MockService::start().await, MockService::start().await);
    let login = Step::respond(302, "to the login")
        .with_header("location", "/login")
        .with_header("set-cookie", "state=1")
        .with_header("x-internal", "1");
    auth.script("/check", vec![login, Step::Status(403)]);
    let gateway = gateway(&api, &auth, USUAL).await;
    let answer = gateway.get("/r/x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (302, "to the login")
    );
    assert_eq!(
        (answer.header("location"), answer.header("set-cookie")),
        ("/login", "state=1")
    );
    assert_eq!(answer.header("x-internal"), "");
    assert_eq!(gateway.get("/r/x").await.status, 403);
    assert!(api.requests().is_empty());
    let page = gateway.metrics().await;
    let refused = metric(
        &page,
        "policy_extauth_decisions_total",
        &[("outcome", "refused")],
    );
    assert_eq!(refused, 2.0);
}

#[tokio::test]
async fn a_service_that_does_not_decide_is_a_503_or_lets_pass_as_nobody() {
    let (api, auth) = (MockService::start().await, MockService::start().await);
    let late = Step::respond(200, "").after(Duration::from_secs(60));
    auth.script("/check", vec![Step::Status(500), late]);
    let strict = gateway(&api, &auth, &format!("{USUAL}, timeout: 100ms")).await;
    for _ in 0..2 {
        let answer = strict.get("/r/x").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, "1")
        );
    }
    assert!(api.requests().is_empty());
    auth.script("/check", vec![Step::Status(500)]);
    let lax = gateway(&api, &auth, &format!("{USUAL}, on_error: open")).await;
    let answer = lax.get_with("/r/x", &[("x-user", "root")]).await;
    assert_eq!(
        (answer.status.as_u16(), received(&answer, "x-user").as_str()),
        (200, "")
    );
}

#[tokio::test]
async fn an_answer_counts_for_the_same_request_until_its_time_is_over() {
    let (api, auth) = (MockService::start().await, MockService::start().await);
    auth.script("/check", vec![yes()]);
    let hour = gateway(&api, &auth, &format!("{USUAL}, cache: 1h")).await;
    for _ in 0..10 {
        let answer = hour.get_with("/r/x", &[("authorization", "a")]).await;
        assert_eq!(received(&answer, "x-user"), "alice");
    }
    assert_eq!(auth.requests_to("/check").len(), 1);
    assert_eq!(
        hour.get_with("/r/x", &[("authorization", "b")])
            .await
            .status,
        200
    );
    assert_eq!(
        hour.get_with("/r/y", &[("authorization", "a")])
            .await
            .status,
        200
    );
    assert_eq!(auth.requests_to("/check").len(), 3);

    let moment = gateway(&api, &auth, &format!("{USUAL}, cache: 100ms")).await;
    assert_eq!(moment.get("/r/x").await.status, 200);
    auth.script("/check", vec![Step::Status(403)]);
    eventually("the service is asked again", async || {
        moment.get("/r/x").await.status == 403
    })
    .await;
}

#[tokio::test]
async fn a_body_goes_to_the_service_and_to_the_upstream() {
    let (api, auth) = (MockService::start().await, MockService::start().await);
    auth.script("/check", vec![yes()]);
    let body = "method: original, max_body_bytes: 8, headers: [content-type]";
    let gateway = gateway(&api, &auth, &format!("{USUAL}, {body}")).await;
    assert_eq!(gateway.post("/r/x", "hello").await.status, 200);
    assert_eq!(&auth.requests_to("/check")[0].body[..], b"hello");
    assert_eq!(&api.requests()[0].body[..], b"hello");
    assert_eq!(gateway.post("/r/x", "too large").await.status, 413);
    assert_eq!(api.requests().len(), 1);
}
