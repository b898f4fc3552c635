//! What tests of the gateway rely on: scripts, the record, counts of connections, start and stop.

use std::io::{Read, Write};
use std::time::Duration;

use mock_service::{MockService, Outcome, Step};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{connect, get, open_get, read_until_closed, request, send, send_on};

#[tokio::test]
async fn a_script_is_taken_in_order_and_its_last_step_repeats() {
    let upstream = MockService::start().await;
    let teapot = Step::respond(418, "short and stout")
        .with_header("x-a", "1")
        .with_header("x-a", "2");
    upstream.script("/orders", vec![Step::Status(503), Step::Close, teapot]);

    assert_eq!(get(upstream.address(), "/orders?q").await.status, 503);
    let closed = open_get(upstream.address(), "/orders", "").await;
    assert_eq!(read_until_closed(closed).await, "");
    for _ in 0..2 {
        let reply = get(upstream.address(), "/orders").await;
        assert_eq!(reply.status, 418);
        assert_eq!(reply.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(reply.body, "short and stout");
    }
    assert_eq!(get(upstream.address(), "/other").await.status, 200);
    let outcomes: Vec<_> = upstream
        .requests_to("/orders")
        .iter()
        .map(|request| request.outcome)
        .collect();
    let teapot = Outcome::Answered(418);
    assert_eq!(
        outcomes,
        [Outcome::Answered(503), Outcome::Closed, teapot, teapot]
    );
}

#[tokio::test]
async fn a_script_comes_before_what_the_path_means() {
    let upstream = MockService::start().await;
    upstream.script("/health", vec![Step::Status(500)]);
    assert_eq!(get(upstream.address(), "/health").await.status, 500);
    upstream.script("/health", Vec::new());
    assert_eq!(get(upstream.address(), "/health").await.status, 200);
}

#[tokio::test]
async fn a_scripted_delay_comes_before_its_step() {
    let upstream = MockService::start().await;
    let delay = Duration::from_millis(30);
    upstream.script("/slow", vec![Step::Status(504).after(delay)]);
    let before = Instant::now();
    assert_eq!(get(upstream.address(), "/slow").await.status, 504);
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let upstream = MockService::start().await;
    let mut post = request("POST", "/orders?page=2", "two apples");
    post.headers_mut().insert("x-trace", "7".parse().unwrap());
    send(upstream.address(), post).await;
    get(upstream.address(), "/other").await;

    assert_eq!(upstream.requests().len(), 2);
    let orders = upstream.requests_to("/orders");
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].number, 1);
    assert_eq!(orders[0].method, "POST");
    assert_eq!(orders[0].query, "page=2");
    assert_eq!(orders[0].headers["x-trace"], "7");
    assert_eq!(orders[0].body, "two apples");
    assert_eq!(orders[0].outcome, Outcome::Answered(200));
    assert!(orders[0].at < upstream.requests()[1].at);
}

#[tokio::test]
async fn a_request_that_hangs_is_pending_until_its_client_leaves() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let client = open_get(upstream.address(), "/hang", "").await;
    upstream.wait_for_requests(1).await;
    assert_eq!(upstream.requests()[0].outcome, Outcome::Pending);
    drop(client);
    upstream.wait_for_open_connections(0).await;
    assert_eq!(upstream.requests()[0].outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn a_request_from_before_a_reset_does_not_touch_later_ones() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let client = open_get(upstream.address(), "/hang", "").await;
    upstream.wait_for_requests(1).await;
    upstream.reset();
    get(upstream.address(), "/hello").await;
    drop(client);
    upstream.wait_for_open_connections(0).await;
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].outcome, Outcome::Answered(200));
}

#[tokio::test]
async fn connections_are_counted() {
    let upstream = MockService::start().await;
    let mut first = connect(upstream.address()).await;
    for _ in 0..2 {
        let hello = request("GET", "/hello", "");
        send_on(&mut first, hello).await.unwrap();
    }
    assert_eq!(
        (upstream.connections(), upstream.open_connections()),
        (1, 1)
    );
    let second = connect(upstream.address()).await;
    upstream.wait_for_open_connections(2).await;
    drop((first, second));
    upstream.wait_for_open_connections(0).await;
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn stop_closes_connections_and_frees_the_port() {
    // An address of its own: on 127.0.0.1 a test beside this one could get the port once it is free.
    let upstream = MockService::bind(([127, 0, 0, 2], 0).into()).await.unwrap();
    let address = upstream.address();
    assert_eq!(upstream.url(), format!("http://{address}"));
    upstream.script("/hang", vec![Step::Hang]);
    let client = open_get(address, "/hang", "").await;
    upstream.wait_for_requests(1).await;
    upstream.stop().await;
    assert_eq!(read_until_closed(client).await, "");
    assert!(TcpStream::connect(address).await.is_err());

    let back = MockService::bind(address).await.unwrap();
    assert_eq!(get(back.address(), "/health").await.status, 200);
    let taken = MockService::bind(address).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn tests_without_a_runtime_can_use_it_and_dropping_it_stops_it() {
    let upstream = MockService::start_blocking();
    let mut stream = std::net::TcpStream::connect(upstream.address()).unwrap();
    let head = b"GET /status/204 HTTP/1.1\r\nhost: mock\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut first_byte = [0];
    stream.read_exact(&mut first_byte).unwrap();
    // The connection stays open for more requests, until the service is gone.
    drop(upstream);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("TTP/1.1 204 No Content\r\n"), "{rest}");
}
