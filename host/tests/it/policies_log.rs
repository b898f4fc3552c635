//! `on-log`: what it is told, when, and that nothing depends on it.

use http::Method;
use mock_service::MockService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::policy_config::{closed, config, faults, policy, policy_on};
use crate::support::raw::RawConnection;
use crate::support::{TestGateway, eventually, metric, within};

const TERMS: &str = "grants: { metrics: {} }, limits: { time: 10s }";
const COUNTER: &str = "policy_log_probe_total";

/// A gateway whose route `r` has the log probe before a policy that wants a key, if `keyed`.
async fn probed(upstream: &str, keyed: bool) -> TestGateway {
    let policies = [
        policy_on("log", "fixtures/log-probe", TERMS),
        policy("key", "require-header"),
    ];
    let mut chain = vec![closed("log", "{}")];
    if keyed {
        chain.push(closed("key", "{ header: x-key }"));
        chain.push(closed("log", "{}"));
    }
    TestGateway::start(&config(upstream, &policies, &[("r", chain)])).await
}

/// Returns once `on-log` has been told this, once.
async fn told(gateway: &TestGateway, labels: &[(&str, &str)]) {
    gateway.wait_for_metric(COUNTER, labels, 1.0).await;
}

#[tokio::test]
async fn it_is_told_how_an_exchange_ended_and_can_change_nothing() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream.url(), false).await;
    let mut client = gateway.client().await;
    let answer = client.send(Method::POST, "/r/bytes/10", &[], "12345").await;
    assert_eq!(answer.status, 200);
    let expected = [
        ("ended", "ok"),
        ("status", "200"),
        ("attempts", "1"),
        ("request_bytes", "5"),
        ("response_bytes", "10"),
        ("response", "200 upstream"),
        ("exchange", "api asked true"),
        ("edits", "6 of 6 too late"),
    ];
    told(&gateway, &expected).await;
    let hooks = [("portcullis_phase", "on-log"), ("portcullis_policy", "log")];
    let name = "portcullis_policy_duration_seconds_count";
    gateway.wait_for_metric(name, &hooks, 1.0).await;
}

#[tokio::test]
async fn the_answer_to_head_has_ended_well() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream.url(), false).await;
    let mut client = gateway.client().await;
    client.send(Method::HEAD, "/r/bytes/10", &[], "").await;
    told(&gateway, &[("ended", "ok"), ("response_bytes", "0")]).await;
}

#[tokio::test]
async fn an_error_of_the_gateway_is_told_by_its_code() {
    let gateway = probed("http://127.0.0.1:1", false).await;
    assert_eq!(gateway.get("/r").await.status, 502);
    let expected = [
        ("ended", "upstream-connect-refused"),
        ("status", "502"),
        ("attempts", "1"),
        ("response", "502 gateway:upstream-connect-refused"),
    ];
    told(&gateway, &expected).await;
}

#[tokio::test]
async fn a_policys_answer_is_told_also_behind_it() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream.url(), true).await;
    assert_eq!(gateway.get("/r").await.status, 401);
    let expected = [
        ("ended", "ok"),
        ("status", "401"),
        ("attempts", "0"),
        ("response", "401 policy:key"),
    ];
    gateway.wait_for_metric(COUNTER, &expected, 2.0).await;
    // The second place of the probe has not been asked on the way up, and so has kept nothing.
    for kept in ["api asked true", "api asked false"] {
        told(&gateway, &[("exchange", kept)]).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_told_during_the_response_and_before_it() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream.url(), false).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /r/stream/100000 HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    client.head().await;
    drop(client);
    let during = [
        ("ended", "client-closed"),
        ("status", "200"),
        ("response", "200 upstream"),
    ];
    told(&gateway, &during).await;

    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /r/delay/60000 HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    upstream.wait_for_requests(2).await;
    drop(client);
    let before = [
        ("ended", "client-closed"),
        ("status", "499"),
        ("attempts", "1"),
        ("response", "none"),
        ("exchange", "api asked true"),
        ("edits", "4 of 4 too late"),
    ];
    told(&gateway, &before).await;
}

#[tokio::test]
async fn a_fault_is_counted_and_has_no_other_effect() {
    let upstream = MockService::start().await;
    let terms = "grants: { metrics: {} }, limits: { time: 50ms }";
    let policies = [policy_on("log", "fixtures/log-probe", terms)];
    let routes = ["panic", "loop"];
    let routes = routes.map(|mode| (mode, vec![closed("log", &format!("{{ mode: {mode} }}"))]));
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let mut client = gateway.client().await;
    for (route, kind) in [("panic", "trap"), ("loop", "deadline")] {
        for _ in 0..2 {
            let answer = client
                .send(Method::GET, &format!("/{route}"), &[], "")
                .await;
            assert_eq!(answer.status, 200);
        }
        eventually("both faults are counted", async || {
            faults(&gateway.metrics().await, "log", route, "on-log", kind) == 2
        })
        .await;
    }
    assert_eq!(metric(&gateway.metrics().await, COUNTER, &[]), 0.0);
}

#[tokio::test]
async fn hooks_that_wait_hold_nobody_up_and_beyond_a_bound_are_dropped() {
    const REQUESTS: usize = 300;
    const BOUND: usize = 256;
    let upstream = MockService::start().await;
    // Connections are taken by the kernel, and nobody answers on them.
    let (_redis, gateway) = waiting(&upstream).await;
    let mut client = gateway.client().await;
    for _ in 0..REQUESTS {
        let answer = client.send(Method::GET, "/r/bytes/1", &[], "").await;
        assert_eq!(answer.status, 200);
    }
    let dropped = [("portcullis_route", "r")];
    let name = "portcullis_policy_on_log_dropped_total";
    let count = (REQUESTS - BOUND) as f64;
    gateway.wait_for_metric(name, &dropped, count).await;
    assert_eq!(metric(&gateway.metrics().await, COUNTER, &[]), 0.0);
}

/// A Redis that is yet to answer, and a gateway whose `on-log` waits for it.
async fn waiting(upstream: &MockService) -> (TcpListener, TestGateway) {
    let redis = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = redis.local_addr().unwrap().port();
    let terms =
        "grants: { metrics: {}, redis: { binding: main, prefix: p } }, limits: { time: 60s }";
    let policies = [policy_on("log", "fixtures/log-probe", terms)];
    let routes = [("r", vec![closed("log", "{ mode: wait }")])];
    let gateway = TestGateway::start(&format!(
        "redis: {{ main: {{ url: \"redis://127.0.0.1:{port}\", deadline: 10s, connect_timeout: 10s }} }}\n{}",
        config(&upstream.url(), &policies, &routes)
    ))
    .await;
    (redis, gateway)
}

/// Reads until `words` are there; what came, or as much as came before the end.
async fn read_until(redis: &mut TcpStream, words: &str) -> String {
    let mut text = String::new();
    let mut buffer = vec![0; 4096];
    while !text.contains(words) {
        match within(redis.read(&mut buffer)).await {
            Ok(length @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
            _ => break,
        }
        // The handshake, and only that, is answered at once.
        if text.contains("SETINFO") && !text.contains(words) {
            let commands = text.matches('*').count();
            redis
                .write_all("+OK\r\n".repeat(commands).as_bytes())
                .await
                .unwrap();
            text.clear();
        }
    }
    text
}

#[tokio::test]
async fn a_stop_lets_hooks_that_have_begun_go_on_for_a_moment() {
    let upstream = MockService::start().await;
    let (listener, gateway) = waiting(&upstream).await;
    let address = gateway.address;
    assert_eq!(gateway.get("/r/bytes/1").await.status, 200);
    let (mut redis, _) = within(listener.accept()).await.unwrap();
    let first = read_until(&mut redis, "pwait\r\n").await;
    assert!(first.contains("pwait\r\n"), "{first}");
    let stopped = tokio::spawn(gateway.stop());
    eventually("the gateway takes no connection", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    redis.write_all(b"$-1\r\n").await.unwrap();
    let second = read_until(&mut redis, "pwaited\r\n").await;
    assert!(second.contains("pwaited\r\n"), "{second}");
    redis.write_all(b"$-1\r\n").await.unwrap();
    within(stopped).await.unwrap();
}
