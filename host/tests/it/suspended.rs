//! As many requests as there may be, all waiting in a host call at once.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Version};
use mock_service::MockService;
use tokio::net::TcpStream;

use crate::policy_config::{closed, config, policy_on};
use crate::support::process::Portcullis;
use crate::support::within;

/// Streams of one connection.
const STREAMS: usize = 100;

/// A request whose body is still to come.
struct Waiting {
    response: h2::client::ResponseFuture,
    body: h2::SendStream<Bytes>,
}

async fn connect(gateway: &Portcullis) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn begin(client: &SendRequest<Bytes>) -> Waiting {
    let mut ready = client.clone().ready().await.unwrap();
    let request = Request::builder()
        .method(Method::PUT)
        .uri("http://gateway/r/x");
    let request = request.version(Version::HTTP_2).body(()).unwrap();
    let (response, body) = ready.send_request(request, false).unwrap();
    Waiting { response, body }
}

/// `SUSPENDED=10000` is what the issue asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_requests_wait_in_a_host_call_and_the_next_is_refused() {
    let count = std::env::var("SUSPENDED").map_or(2_000, |text| text.parse().unwrap());
    let upstream = MockService::start().await;
    let policies = [policy_on(
        "probe",
        "fixtures/probe",
        "limits: { time: 60s }",
    )];
    let routes = [(
        "r",
        vec![closed("probe", "{ request_body: { read: 1000 } }")],
    )];
    let text = config(&upstream.url(), &policies, &routes);
    let terms = format!("workers: 2\npolicy_instances: {count}\n");
    let gateway = Portcullis::start(&format!("{terms}{text}")).await;
    let mut waiting = Vec::new();
    for _ in 0..count / STREAMS {
        let client = connect(&gateway).await;
        for _ in 0..STREAMS {
            waiting.push(begin(&client).await);
        }
    }
    let instances = waiting.len() as f64;
    gateway
        .wait_for_metric("portcullis_policy_instances", &[], instances)
        .await;
    let client = connect(&gateway).await;
    let refused = within(begin(&client).await.response).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["x-portcullis-error"], "policy-failed");
    println!(
        "{count} suspended: {} KiB resident, {} KiB of them its own",
        gateway.figure("VmRSS"),
        gateway.figure("RssAnon")
    );
    // One after the other: the upstream takes so many connections at once, and no more.
    for mut waiting in waiting {
        let end = Bytes::from_static(b"x");
        waiting.body.send_data(end, true).unwrap();
        assert_eq!(within(waiting.response).await.unwrap().status(), 200);
    }
    gateway
        .wait_for_metric("portcullis_policy_instances", &[], 0.0)
        .await;
}
