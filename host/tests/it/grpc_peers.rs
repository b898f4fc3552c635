//! gRPC with a client and a service by grpcio.

use crate::policy_config::policy;
use crate::support::peers::{Peer, run_script};
use crate::support::raw::RefusingAddress;
use crate::support::tls::Authority;
use crate::support::{TestGateway, component};

/// Serves a route with those keys to a service with gRPC.
fn config(service: &str, keys: &str) -> String {
    config_with(service, "", keys)
}

/// The same with more keys of the upstream.
fn config_with(service: &str, upstream: &str, keys: &str) -> String {
    format!(
        "upstreams: {{ s: {{ endpoints: [\"{service}\"], protocol: http2 {upstream} }} }}
policies:
  key: {{ component: \"file:{}\" }}
  limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}} }} }}
  {}
routes: [{{ name: all, upstream: s{keys} }}]",
        component("require-header").display(),
        policy("copy", "fixtures/stream-probe"),
    )
}

/// The service behind a gateway, whose route has those keys.
async fn site(keys: &str) -> (Peer, TestGateway) {
    let (service, port) = Peer::start_script("grpc_service.py", &[]).await;
    let url = format!("http://127.0.0.1:{port}");
    (service, TestGateway::start(&config(&url, keys)).await)
}

async fn run(case: &str, gateway: &TestGateway) {
    let address = gateway.address.to_string();
    let printed = run_script("grpc_client.py", &[case, &address]).await;
    assert_eq!(printed, "ok\n", "{case}");
}

#[tokio::test]
async fn a_call_passes_with_its_metadata_both_ways() {
    let (_service, gateway) = site("").await;
    run("unary", &gateway).await;
    run("compressed", &gateway).await;
}

#[tokio::test]
async fn either_side_may_stream() {
    let (_service, gateway) = site("").await;
    run("streams", &gateway).await;
}

#[tokio::test]
async fn nothing_waits_for_the_next_message() {
    let (_service, gateway) = site("").await;
    run("ping_pong", &gateway).await;
}

#[tokio::test]
async fn large_messages_and_many_calls_at_once_pass() {
    let (_service, gateway) = site("").await;
    run("large", &gateway).await;
    run("many", &gateway).await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other_call() {
    let (_service, gateway) = site("").await;
    run("slow_reader", &gateway).await;
}

#[tokio::test]
async fn each_status_comes_with_its_message_and_metadata() {
    let (_service, gateway) = site("").await;
    run("statuses", &gateway).await;
}

#[tokio::test]
async fn calls_stream_through_policies() {
    let copy = "{ use: copy, on_failure: closed }";
    let (_service, gateway) = site(&format!(", policies: [{copy}, {copy}]")).await;
    for case in [
        "unary",
        "streams",
        "ping_pong",
        "large",
        "slow_reader",
        "statuses",
        "cancel",
    ] {
        run(case, &gateway).await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_frees_the_service() {
    let (_service, gateway) = site("").await;
    run("cancel", &gateway).await;
    run("deadline", &gateway).await;
}

#[tokio::test]
async fn a_service_that_dies_fails_its_calls() {
    let (_service, gateway) = site("").await;
    run("service_dies", &gateway).await;
}

#[tokio::test]
async fn what_the_gateway_answers_is_a_grpc_status() {
    let (_service, elsewhere) = site(", match: { path: /elsewhere }").await;
    run("no_route", &elsewhere).await;
    let refusing = RefusingAddress::take();
    let unreachable = TestGateway::start(&config(&refusing.url(), "")).await;
    run("unreachable", &unreachable).await;
    let (_service, hurried) = site(", deadline: 500ms").await;
    run("route_deadline", &hurried).await;
}

#[tokio::test]
async fn what_policies_answer_is_a_grpc_status() {
    let key = "{ use: key, on_failure: closed, config: { header: x-key } }";
    let (_service, guarded) = site(&format!(", policies: [{key}]")).await;
    run("guarded", &guarded).await;
    let limit = "{ name: token, key: client_address, rate: 1, per: 1h, burst: 1 }";
    let limit = format!("{{ use: limit, on_failure: closed, config: {{ limits: [{limit}] }} }}");
    let (_service, limited) = site(&format!(", policies: [{limit}]")).await;
    run("limited", &limited).await;
}

#[tokio::test]
async fn a_reload_ends_no_call() {
    let (_service, port) = Peer::start_script("grpc_service.py", &[]).await;
    let url = format!("http://127.0.0.1:{port}");
    let gateway = TestGateway::start(&config(&url, "")).await;
    let reloads = gateway.reload_in_use(|seconds| config(&url, &format!(", deadline: {seconds}s")));
    tokio::join!(run("ping_pong", &gateway), reloads);
}

#[tokio::test]
async fn both_connections_may_be_over_tls() {
    let authority = Authority::new();
    authority.issue("a", &["localhost"]);
    let [certificate, key] =
        ["a.pem", "a.key"].map(|name| authority.path(name).display().to_string());
    let listener =
        format!("tls: {{ certificates: [{{ certificate: {certificate}, key: {key} }}] }}");
    let (_service, port) = Peer::start_script("grpc_service.py", &[&certificate, &key]).await;
    let ca = authority.path("ca.pem").display().to_string();
    let service = format!("https://localhost:{port}");
    let tls = format!(", tls: {{ ca: \"{ca}\" }}");
    let gateway = TestGateway::start_on(&listener, &config_with(&service, &tls, "")).await;
    let address = format!("localhost:{}", gateway.address.port());
    for case in ["unary", "ping_pong", "large"] {
        let printed = run_script("grpc_client.py", &[case, &address, &ca]).await;
        assert_eq!(printed, "ok\n", "{case}");
    }
}
