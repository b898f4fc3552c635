//! Clients that are slow: each step has its time, and what they held is free afterwards.

use std::time::Duration;

use mock_service::MockService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, eventually, within};

async fn gateway_to(url: &str, timeouts: &str) -> TestGateway {
    TestGateway::start(&format!(
        "timeouts: {{ {timeouts} }}\nupstreams: {{ u: {{ endpoints: [{url}] }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n"
    ))
    .await
}

async fn wait_for_timeout(gateway: &TestGateway, reason: &str) {
    let labels = [("portcullis_reason", reason)];
    let name = "portcullis_connections_timed_out_total";
    gateway.wait_for_metric(name, &labels, 1.0).await;
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn a_head_that_has_begun_and_does_not_end_is_408() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head: 100ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: a\r\nx-mo").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(
        field(&head, "x-portcullis-error"),
        Some("request-head-timeout")
    );
    assert_eq!(client.rest().await, "");
    wait_for_timeout(&gateway, "head").await;
}

#[tokio::test]
async fn a_second_head_has_its_own_time() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head: 100ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.message().await;
    client.send("GET /y HTT").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    wait_for_timeout(&gateway, "head").await;
}

#[tokio::test]
async fn a_head_that_drips_gets_no_more_time() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head: 300ms").await;
    let stream = within(TcpStream::connect(gateway.address)).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        let head = "GET /x HTTP/1.1\r\n".bytes().chain(std::iter::repeat(b'x'));
        for byte in head {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = within(reading.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    within(drip).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_silence() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "head: 100ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_kept_connection_without_a_further_request_is_closed_in_silence() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "keep_alive: 100ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    for _ in 0..2 {
        client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(client.rest().await, "");
    wait_for_timeout(&gateway, "keep_alive").await;
}

#[tokio::test]
async fn a_wait_for_the_upstream_is_not_the_clients() {
    let upstream = MockService::start().await;
    let timeouts = "head: 50ms, keep_alive: 50ms, body_idle: 50ms, write_idle: 50ms";
    let gateway = gateway_to(&upstream.url(), timeouts).await;
    assert_eq!(gateway.get("/delay/300").await.status, 200);
    assert_eq!(gateway.post("/delay/300", "body").await.status, 200);
    let answer = gateway.get("/stream/3?interval_ms=150").await;
    assert!(answer.text().ends_with("chunk 3 of 3\n"));
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_frees_the_upstream() {
    for framing in [
        "content-length: 10\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway_to(&upstream.url(), "body_idle: 100ms").await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send(&format!("POST /x HTTP/1.1\r\nhost: a\r\n{framing}"))
            .await;
        let mut service = upstream.accept().await;
        service.head().await;
        let (head, _) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert_eq!(
            field(&head, "x-portcullis-error"),
            Some("request-body-timeout")
        );
        assert_eq!(field(&head, "connection"), Some("close"));
        assert_eq!(client.rest().await, "");
        service.rest().await;
        let labels = [("portcullis_reason", "body_idle")];
        gateway
            .wait_for_metric("portcullis_requests_refused_total", &labels, 1.0)
            .await;
    }
}

#[tokio::test]
async fn a_body_that_goes_on_has_time() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "body_idle: 1500ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        .await;
    for letter in ["h", "e", "l", "l", "o"] {
        tokio::time::sleep(Duration::from_millis(400)).await;
        client.send(letter).await;
    }
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.contains("\"body\":\"hello\""), "{body}");
}

#[tokio::test]
async fn a_body_may_rest_once_the_answer_has_begun() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "body_idle: 50ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    assert_eq!(service.chunk().await, "a");
    service
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunk().await, "A");
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.send("1\r\nb\r\n0\r\n\r\n").await;
    assert_eq!(service.chunk().await, "b");
    assert_eq!(service.chunk().await, "");
    service.send("1\r\nB\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "B");
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn a_body_that_stops_after_a_whole_answer_frees_both_connections() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "body_idle: 100ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n0123456789")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    assert_eq!(service.exactly(10).await, "0123456789");
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(client.message().await.1, "ok");
    assert_eq!(client.rest().await, "");
    service.rest().await;
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn a_client_that_still_sends_gets_the_whole_answer() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "limits: {{ body: 1KiB }}\nupstreams: {{ u: {{ endpoints: [{}] }} }}\n\
         routes: [{{ name: r, match: {{ path_prefix: /r }}, upstream: u }}]\n",
        upstream.url()
    ))
    .await;
    for (path, status) in [("/r", "413"), ("/elsewhere", "404")] {
        let stream = within(TcpStream::connect(gateway.address)).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let length = 4 << 20;
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        // The answer is read only after all has been sent: a reset would have destroyed it.
        within(writing.write_all(head.as_bytes())).await.unwrap();
        within(writing.write_all(&vec![b'b'; length]))
            .await
            .unwrap();
        writing.shutdown().await.unwrap();
        let mut answer = String::new();
        within(reading.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.ends_with('}'), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_frees_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "write_idle: 200ms").await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /bytes/33554432 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    wait_for_timeout(&gateway, "write_idle").await;
    upstream.wait_for_open_connections(0).await;
}

/// Reads of the stream what comes, `bytes` at a time with a pause between, `times` times.
async fn sip(stream: &mut TcpStream, bytes: usize, times: usize) {
    let mut buffer = vec![0; bytes];
    for _ in 0..times {
        within(stream.read_exact(&mut buffer)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    const LENGTH: usize = 16 << 20;
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "write_idle: 1s").await;
    let mut client = within(TcpStream::connect(gateway.address)).await.unwrap();
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    within(client.write_all(request.as_bytes())).await.unwrap();
    // Longer than the timeout in all.
    sip(&mut client, LENGTH / 80, 75).await;
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert!(LENGTH / 80 * 75 + rest.len() > LENGTH);
}

#[tokio::test]
async fn a_client_that_reads_slowly_makes_the_upstream_wait() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let gateway = gateway_to(&url, "").await;
    let socket = TcpSocket::new_v4().unwrap();
    // Else the kernel takes tens of megabytes for the client.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut client = within(socket.connect(gateway.address)).await.unwrap();
    let request = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    within(client.write_all(request)).await.unwrap();
    let (mut service, _) = within(upstream.accept()).await.unwrap();
    // An answer before the request would be a mistake.
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        within(service.read_buf(&mut seen)).await.unwrap();
    }
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    within(service.write_all(head)).await.unwrap();
    let (chunk, mut sent) = (vec![b'x'; 64 << 10], 0);
    // Until nothing is taken any more: what lies between is in the kernel's buffers.
    let blocked = Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(blocked, service.write_all(&chunk)).await {
        written.unwrap_or_else(|error| panic!("{error} after {sent} bytes"));
        sent += chunk.len();
        assert!(
            sent < 128 << 20,
            "the gateway takes what the client does not"
        );
    }
    // What the client takes makes room.
    let reading = tokio::spawn(async move {
        let mut taken = vec![0; 32 << 20];
        within(client.read_exact(&mut taken)).await.map(|_| ())
    });
    eventually("the upstream can go on", async || {
        service.try_write(&chunk).is_ok()
    })
    .await;
    drop(service);
    let _ = within(reading).await;
}
