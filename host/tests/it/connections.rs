//! Connections are kept, used again and given up as they should; what fails has a name.

use std::time::{Duration, Instant};

use http::Method;
use mock_service::{MockService, Step};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::raw::{RawConnection, RawUpstream, RefusingAddress};
use crate::support::{Answer, TestGateway, freed_within_a_second};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One route to `url`; `timeouts` of its upstream, in YAML.
async fn gateway_to(url: &str, timeouts: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}], timeouts: {{ {timeouts} }} }} }}\n\
         routes: [{{ name: r, upstream: u, deadline: 2s }}]"
    ))
    .await
}

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("x-portcullis-error"), code);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["code"], code);
}

#[tokio::test]
async fn ten_requests_over_one_connection_use_one_connection_to_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = gateway.client().await;
    for n in 0..10 {
        let method = if n % 2 == 0 {
            Method::GET
        } else {
            Method::POST
        };
        let answer = client.send(method, "/x", &[], "body").await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.requests_to("/x").len(), 10);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn clients_one_after_another_share_a_connection_to_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send(
            "GET /delay/30 HTTP/1.1\r\nhost: a\r\n\r\n\
             POST /second HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
             GET /third HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    for path in ["/delay/30", "/second", "/third"] {
        let (_, body) = client.message().await;
        assert!(body.contains(&format!("\"path\":\"{path}\"")), "{body}");
    }
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_while_idle_is_not_used() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = gateway.client().await;
    for method in [Method::GET, Method::POST, Method::POST] {
        let serve = async {
            let mut connection = upstream.accept().await;
            connection.head().await;
            connection.send(OK).await;
            // Closed here, with the answer on its way.
        };
        let (answer, ()) = tokio::join!(client.send(method, "/", &[], ""), serve);
        assert_eq!(answer.text(), "ok");
        // The gateway has seen the end of the connection once it has answered another one.
        gateway.metrics().await;
    }
}

/// The upstream closes a connection just as the gateway sends a second request over it.
async fn second_request_meets_a_closing_connection(method: Method) -> (Answer, bool) {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = gateway.client().await;
    let serve = async || {
        let mut connection = upstream.accept().await;
        connection.head().await;
        connection.send(OK).await;
        connection
    };
    let (_, mut first) = tokio::join!(client.send(Method::GET, "/", &[], ""), serve());
    let close = async {
        first.head().await;
        drop(first);
        timeout(Duration::from_millis(300), serve()).await.is_ok()
    };
    tokio::join!(client.send(method, "/", &[], ""), close)
}

#[tokio::test]
async fn a_get_that_meets_a_closing_connection_is_sent_over_another() {
    let (answer, sent_again) = second_request_meets_a_closing_connection(Method::GET).await;
    assert_eq!(answer.text(), "ok");
    assert!(sent_again);
}

#[tokio::test]
async fn a_post_that_meets_a_closing_connection_is_not_sent_again() {
    let (answer, sent_again) = second_request_meets_a_closing_connection(Method::POST).await;
    assert_error(&answer, 502, "upstream-reset");
    assert!(!sent_again);
}

#[tokio::test]
async fn idle_connections_end_after_their_time() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "idle: 50ms").await;
    assert_eq!(gateway.get("/x").await.status, 200);
    upstream.wait_for_open_connections(0).await;
    assert_eq!(gateway.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_upstreams_connection() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    drop(client);
    freed_within_a_second(&upstream).await;
    let labels = [
        ("http_response_status_code", "499"),
        ("portcullis_route", "r"),
    ];
    gateway
        .wait_for_metric("http_server_request_duration_seconds_count", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_frees_the_upstreams_connection() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /stream/100000?interval_ms=5 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    client.head().await;
    client.chunk().await;
    drop(client);
    freed_within_a_second(&upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_frees_the_upstreams_connection() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n0123456789")
        .await;
    upstream.wait_for_requests(1).await;
    drop(client);
    freed_within_a_second(&upstream).await;
    assert_eq!(gateway.get("/after").await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_is_down_gives_502() {
    let down = RefusingAddress::take();
    let gateway = gateway_to(&down.url(), "").await;
    let answer = gateway.get("/").await;
    assert_error(&answer, 502, "upstream-connect-refused");
    // The client learns which service, not where it is.
    let port = down.url().rsplit(':').next().unwrap().to_owned();
    assert!(!answer.text().contains(&port), "{}", answer.text());
    assert!(
        answer.text().contains("upstream \\\"u\\\""),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_upstream_that_takes_no_connection_gives_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: the queue fills, and then the kernel leaves connections unanswered.
    let (mut waiting, patience) = (Vec::new(), Duration::from_millis(200));
    while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue does not fill");
    }
    let gateway = gateway_to(&format!("http://{address}"), "connect: 50ms").await;
    assert_error(&gateway.get("/").await, 504, "upstream-connect-timeout");
}

#[tokio::test]
async fn a_name_without_an_address_gives_502() {
    let gateway = gateway_to("http://no-such-host.invalid", "").await;
    assert_error(&gateway.get("/").await, 502, "upstream-dns");
}

#[tokio::test]
async fn an_upstream_that_answers_too_late_gives_504() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url(), "attempt: 50ms").await;
    assert_error(
        &gateway.get("/hang").await,
        504,
        "upstream-response-timeout",
    );
    upstream.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn the_routes_deadline_bounds_the_wait_for_an_answer() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u, deadline: 50ms }}]",
        upstream.url()
    ))
    .await;
    let start = Instant::now();
    assert_error(&gateway.get("/hang").await, 504, "deadline-exceeded");
    assert!(start.elapsed() >= Duration::from_millis(50));
    upstream.wait_for_open_connections(0).await;
}

#[tokio::test]
async fn a_body_may_take_longer_than_the_deadline() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}], timeouts: {{ attempt: 200ms }} }} }}\n\
         routes: [{{ name: r, upstream: u, deadline: 200ms }}]",
        upstream.url()
    ))
    .await;
    let answer = gateway.get("/stream/6?interval_ms=60").await;
    assert!(answer.text().ends_with("chunk 6 of 6\n"));
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_gives_502() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let mut client = gateway.client().await;
    let broken = [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nbad field: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    ];
    for answer in broken {
        let serve = async {
            let mut connection = upstream.accept().await;
            connection.head().await;
            connection.send(answer).await;
            connection
        };
        let (answer, _open) = tokio::join!(client.send(Method::GET, "/", &[], ""), serve);
        assert_error(&answer, 502, "upstream-protocol");
    }
}

#[tokio::test]
async fn an_upstream_that_closes_without_an_answer_gives_502() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    for (method, path) in [(Method::GET, "/reset"), (Method::POST, "/reset")] {
        let mut client = gateway.client().await;
        let answer = client.send(method, path, &[], "").await;
        assert_error(&answer, 502, "upstream-reset");
    }
    // Over a new connection nothing is sent twice by the gateway alone.
    assert_eq!(upstream.requests_to("/reset").len(), 2);
}

#[tokio::test]
async fn interim_answers_do_not_end_the_wait() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "").await;
    let serve = async {
        let mut connection = upstream.accept().await;
        connection.head().await;
        connection
            .send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            .await;
        connection.send(OK).await;
        connection
    };
    let mut client = gateway.client().await;
    let (answer, _open) = tokio::join!(client.send(Method::GET, "/", &[], ""), serve);
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "ok")
    );
}
