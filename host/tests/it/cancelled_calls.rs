//! A policy that waits in a call of the host is given up when its client leaves or its time is over: its
//! instance goes, and what the call held.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Version};
use mock_service::{MockService, Step};
use tokio::net::{TcpListener, TcpStream};

use crate::policy_config::{closed, policy_on};
use crate::support::process::Portcullis;
use crate::support::raw::RawConnection;
use crate::support::{eventually, metric, within};

const INSTANCES: &str = "portcullis_policy_instances";

/// A gateway whose routes each have a policy that waits: `/outcall` for the service that hangs, `/redis` for
/// a server that accepts and is silent, `/body` for a body. Each hook may take `time`.
async fn gateway(service: &MockService, redis: &TcpListener, time: &str) -> Portcullis {
    service.script("/hang", vec![Step::Hang]);
    let policy = |name: &str, built: &str, grants: &str| {
        let terms = format!("grants: {{ {grants} }}, limits: {{ time: {time} }}");
        policy_on(name, &format!("fixtures/{built}"), &terms)
    };
    let outcall = policy("outcall", "outcall-probe", "outcall: { upstreams: [s] }");
    let redis_grant = "redis: { binding: main, prefix: p, scripts: true }";
    let redis_probe = policy("redis", "redis-probe", redis_grant);
    let body = policy("body", "probe", "metrics: {}");
    let route = |name: &str, config: &str| {
        let used = closed(name, config);
        format!(
            "{{ name: {name}, match: {{ path_prefix: /{name} }}, upstream: s, policies: [{used}] }}"
        )
    };
    let text = format!(
        "
listeners: [{{ name: http, address: '127.0.0.1:0', h2c: true }}]
metrics: {{ address: '127.0.0.1:0', max_age: 0s }}
workers: 1
redis: {{ main: {{ url: 'redis://{}', deadline: 10s, connect_timeout: 10s }} }}
upstreams: {{ s: {{ endpoints: ['{}'], timeouts: {{ attempt: 60s }}, circuit: {{ max_requests: 1 }} }} }}
policies:
  {outcall}
  {redis_probe}
  {body}
routes:
  - {}
  - {}
  - {}
",
        redis.local_addr().unwrap(),
        service.url(),
        route("outcall", "{ upstream: s, path: /hang, timeout_ms: 0 }"),
        route("redis", "{ key: k }"),
        route("body", "{ request_body: { read: 8 } }"),
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    Portcullis::start_at(path, directory).await
}

async fn instances(gateway: &Portcullis) -> f64 {
    metric(&gateway.metrics().await, INSTANCES, &[])
}

/// Returns when the policy waits in its call.
async fn waits(gateway: &Portcullis, service: &MockService, redis: &TcpListener, call: &str) {
    match call {
        "outcall" => {
            let hangs = async || service.requests_to("/hang").len() == 1;
            eventually("the call has come", hangs).await;
        }
        // Held to the end of the test: it accepts and says nothing.
        "redis" => std::mem::forget(within(redis.accept()).await.unwrap()),
        _ => {}
    }
    gateway.wait_for_metric(INSTANCES, &[], 1.0).await;
}

/// Panics unless the instance, and the call's connection to the service, is gone within a second from now.
async fn freed(gateway: &Portcullis, service: &MockService, what: &str) {
    let left = Instant::now();
    eventually(&format!("{what}: the instance is gone"), async || {
        instances(gateway).await == 0.0
    })
    .await;
    service.wait_for_open_connections(0).await;
    let took = left.elapsed();
    assert!(took < Duration::from_secs(1), "{what}: {took:?}");
}

/// Leaves while the policy waits, and sees that all is freed; the service then has room for another.
async fn leaves_over_http1(call: &str, request: &str) {
    let service = MockService::start().await;
    let redis = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway(&service, &redis, "60s").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(request).await;
    waits(&gateway, &service, &redis, call).await;
    drop(client);
    freed(&gateway, &service, request).await;
    let mut next = gateway.client().await;
    let answer = next.send(Method::POST, "/body", &[], "12345678").await;
    assert_eq!(answer.status, 200, "{request}: {}", answer.text());
}

#[tokio::test]
async fn a_client_of_http1_that_leaves_ends_the_call() {
    for call in ["outcall", "redis"] {
        leaves_over_http1(call, &format!("GET /{call} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn one_that_leaves_with_its_body_unread_ends_the_call() {
    for call in ["outcall", "redis"] {
        let whole = format!("POST /{call} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
        leaves_over_http1(call, &whole).await;
        let begun = format!("POST /{call} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe");
        leaves_over_http1(call, &begun).await;
    }
}

#[tokio::test]
async fn one_that_leaves_in_the_middle_of_a_body_that_is_read_ends_the_reading() {
    for framing in [
        "content-length: 5\r\n\r\nhe",
        "transfer-encoding: chunked\r\n\r\n5\r\nhe",
    ] {
        leaves_over_http1(
            "body",
            &format!("POST /body HTTP/1.1\r\nhost: a\r\n{framing}"),
        )
        .await;
    }
}

#[tokio::test]
async fn one_that_has_sent_the_next_request_already_and_leaves_ends_the_call() {
    let one = "GET /outcall HTTP/1.1\r\nhost: a\r\n\r\n";
    leaves_over_http1("outcall", &format!("{one}{one}")).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_the_call_and_its_connection_goes_on() {
    for call in ["outcall", "redis", "body"] {
        let service = MockService::start().await;
        let redis = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = gateway(&service, &redis, "60s").await;
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut client = within(client.ready()).await.unwrap();
        let request = |path: &str| {
            let request = Request::post(format!("http://a/{path}"));
            request.version(Version::HTTP_2).body(()).unwrap()
        };
        let (response, mut body) = client.send_request(request(call), false).unwrap();
        body.send_data(Bytes::from_static(b"he"), false).unwrap();
        waits(&gateway, &service, &redis, call).await;
        body.send_reset(h2::Reason::CANCEL);
        drop((response, body));
        freed(&gateway, &service, call).await;
        let mut client = within(client.ready()).await.unwrap();
        let (response, _) = client.send_request(request("body"), true).unwrap();
        assert_eq!(within(response).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_hook_whose_time_is_over_leaves_nothing_behind() {
    for call in ["outcall", "redis", "body"] {
        let service = MockService::start().await;
        let redis = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = gateway(&service, &redis, "500ms").await;
        let mut client = RawConnection::connect(gateway.address).await;
        let head = format!("POST /{call} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe");
        client.send(&head).await;
        waits(&gateway, &service, &redis, call).await;
        assert!(client.head().await.starts_with("HTTP/1.1 503 "), "{call}");
        freed(&gateway, &service, call).await;
        let faults = [
            ("portcullis_policy", call),
            ("portcullis_fault", "deadline"),
        ];
        gateway
            .wait_for_metric("portcullis_policy_faults_total", &faults, 1.0)
            .await;
    }
}
