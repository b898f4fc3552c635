//! What a route itself changes of requests and responses.

use mock_service::{MockService, Step};

use crate::support::TestGateway;

async fn gateway(upstream: &MockService, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes:\n  - name: r\n    upstream: u\n{keys}",
        upstream.url()
    ))
    .await
}

#[tokio::test]
async fn the_path_and_the_host_are_replaced() {
    let upstream = MockService::start().await;
    let keys = "    rewrite: { path: /v2/all, host: inner.example:81 }\n";
    let gateway = gateway(&upstream, keys).await;
    let answer = gateway
        .get_with("/x?a=%2F", &[("host", "outer.example")])
        .await;
    assert_eq!(answer.json()["path"], "/v2/all");
    assert_eq!(answer.json()["query"], "a=%2F");
    let headers = &upstream.requests()[0].headers;
    assert_eq!(headers["host"], "inner.example:81");
    assert_eq!(headers["x-forwarded-host"], "outer.example");
}

#[tokio::test]
async fn the_clients_host_passes_unless_it_is_replaced() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream, "").await;
    gateway.get_with("/", &[("host", "outer.example")]).await;
    assert_eq!(upstream.requests()[0].headers["host"], "outer.example");
}

#[tokio::test]
async fn fields_of_the_request_are_removed_then_set_then_appended() {
    let upstream = MockService::start().await;
    let keys = "    request_headers:
      remove: [x-gone, x-again]
      set: { x-set: new, x-where: '{route} {upstream} {client.address}', x-id: '{request.id}' }
      append: { x-more: b, x-again: '{{route}' }
";
    let gateway = gateway(&upstream, keys).await;
    let fields = [
        ("x-gone", "1"),
        ("x-set", "old"),
        ("x-set", "older"),
        ("x-more", "a"),
        ("x-again", "old"),
    ];
    gateway.get_with("/", &fields).await;
    let headers = &upstream.requests()[0].headers;
    let values = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    assert!(values("x-gone").is_empty());
    assert_eq!(values("x-set"), ["new"]);
    assert_eq!(values("x-more"), ["a", "b"]);
    assert_eq!(values("x-again"), ["{route}"]);
    assert_eq!(values("x-where"), ["r u 127.0.0.1"]);
    assert_eq!(values("x-id"), values("x-request-id"));
}

#[tokio::test]
async fn fields_of_every_response_are_changed_those_of_errors_too() {
    let upstream = MockService::start().await;
    let step = Step::respond(200, "ok").with_header("server", "mock");
    upstream.script("/", vec![step.clone(), Step::CloseAtHead]);
    let keys = "    response_headers: { set: { strict-transport-security: max-age=60 }, remove: [server] }\n";
    let gateway = gateway(&upstream, keys).await;
    for status in [200, 502] {
        let answer = gateway.post("/", "x").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("strict-transport-security"), "max-age=60");
        assert!(!answer.headers.contains_key("server"));
    }
}
