//! WebSocket with a client and a service by Python's `websockets`.

use crate::support::peers::{Peer, run_script};
use crate::support::tls::Authority;
use crate::support::{TestGateway, component};

/// Serves a route with those keys by an upstream with those.
fn config(upstream: &str, keys: &str) -> String {
    format!(
        "upstreams: {{ s: {{ {upstream} }} }}
policies: {{ key: {{ component: \"file:{}\" }} }}
routes: [{{ name: all, upstream: s{keys} }}]",
        component("require-header").display()
    )
}

/// The service behind a gateway, whose route has those keys.
async fn site(keys: &str) -> (Peer, TestGateway) {
    let (service, port) = Peer::start_script("websocket_service.py", &[]).await;
    let upstream = format!("endpoints: [\"http://127.0.0.1:{port}\"]");
    (service, TestGateway::start(&config(&upstream, keys)).await)
}

async fn run(case: &str, gateway: &TestGateway) {
    let url = format!("ws://{}", gateway.address);
    assert_eq!(
        run_script("websocket_client.py", &[case, &url]).await,
        "ok\n"
    );
}

#[tokio::test]
async fn messages_come_back_as_they_were_sent() {
    let (_service, gateway) = site("").await;
    run("echo", &gateway).await;
    run("large", &gateway).await;
}

#[tokio::test]
async fn both_sides_answer_pings() {
    let (_service, gateway) = site("").await;
    run("pings", &gateway).await;
}

#[tokio::test]
async fn each_side_learns_the_others_code_and_reason() {
    let (service, gateway) = site("").await;
    run("closed_by_service", &gateway).await;
    run("closes", &gateway).await;
    service.wait_for("closed 4002 enough").await;
    let connections = "portcullis_connections_active";
    gateway.wait_for_metric(connections, &[], 0.0).await;
}

#[tokio::test]
async fn many_are_open_at_once() {
    let (_service, gateway) = site("").await;
    run("many", &gateway).await;
    let connections = "portcullis_connections_active";
    gateway.wait_for_metric(connections, &[], 0.0).await;
}

#[tokio::test]
async fn a_policy_decides_who_may_open_one() {
    let key = "{ use: key, on_failure: closed, config: { header: x-key } }";
    let (_service, gateway) = site(&format!(", policies: [{key}]")).await;
    run("guarded", &gateway).await;
}

#[tokio::test]
async fn a_service_that_dies_ends_its_connections() {
    let (_service, gateway) = site("").await;
    run("vanishes", &gateway).await;
}

#[tokio::test]
async fn a_reload_ends_none() {
    let (_service, port) = Peer::start_script("websocket_service.py", &[]).await;
    let upstream = format!("endpoints: [\"http://127.0.0.1:{port}\"]");
    let gateway = TestGateway::start(&config(&upstream, "")).await;
    let reloads =
        gateway.reload_in_use(|seconds| config(&upstream, &format!(", deadline: {seconds}s")));
    tokio::join!(run("many", &gateway), reloads);
}

#[tokio::test]
async fn both_connections_may_be_over_tls() {
    let authority = Authority::new();
    authority.issue("a", &["localhost"]);
    let [ca, certificate, key] =
        ["ca.pem", "a.pem", "a.key"].map(|name| authority.path(name).display().to_string());
    let arguments = [&*certificate, &*key];
    let (_service, port) = Peer::start_script("websocket_service.py", &arguments).await;
    let upstream = format!("endpoints: [\"https://localhost:{port}\"], tls: {{ ca: \"{ca}\" }}");
    let listener =
        format!("tls: {{ certificates: [{{ certificate: {certificate}, key: {key} }}] }}");
    let gateway = TestGateway::start_on(&listener, &config(&upstream, "")).await;
    let url = format!("wss://localhost:{}", gateway.address.port());
    for case in ["echo", "large", "pings", "closed_by_service", "many"] {
        let printed = run_script("websocket_client.py", &[case, &url, &ca]).await;
        assert_eq!(printed, "ok\n", "{case}");
    }
}
