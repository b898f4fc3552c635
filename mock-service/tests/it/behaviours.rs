//! What each path does.

use std::time::Duration;

use http::StatusCode;
use mock_service::{MockService, Settings};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{get, open_get, read_until, read_until_closed, request, send};

#[tokio::test]
async fn health_is_ok() {
    let upstream = MockService::start().await;
    let reply = get(upstream.address(), "/health").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.body, r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn any_other_path_is_echoed() {
    let settings = Settings {
        name: "users".to_owned(),
        ..Settings::default()
    };
    let upstream = MockService::with(settings).await.unwrap();
    let mut post = request("POST", "/hello/world?a=1&b=%20", "grüezi");
    post.headers_mut().append("x-seen", "1".parse().unwrap());
    post.headers_mut().append("x-seen", "2".parse().unwrap());
    let reply = send(upstream.address(), post).await;
    assert_eq!(reply.status, StatusCode::OK);
    let expected = json!({
        "service": "users",
        "method": "POST",
        "path": "/hello/world",
        "query": "a=1&b=%20",
        "headers": { "host": ["mock"], "x-seen": ["1", "2"], "content-length": ["7"] },
        "body": "grüezi",
        "body_encoding": "utf-8",
        "body_bytes": 7,
    });
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn a_body_that_is_not_text_is_echoed_as_base64() {
    let upstream = MockService::start().await;
    let put = request("PUT", "/", &[0xff_u8, 0x00, 0xfe][..]);
    let echo = send(upstream.address(), put).await.json();
    assert_eq!(echo["body"], "/wD+");
    assert_eq!(echo["body_encoding"], "base64");
    assert_eq!(echo["body_bytes"], 3);
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_refused() {
    let upstream = MockService::start().await;
    let headers = "content-length: 99999999999\r\n";
    let mut stream = open_get(upstream.address(), "/", headers).await;
    let reply = read_until(&mut stream, "at most").await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
}

#[tokio::test]
async fn status_is_the_one_asked_for() {
    let upstream = MockService::start().await;
    for code in [200, 204, 301, 304, 418, 503, 599] {
        let reply = get(upstream.address(), &format!("/status/{code}")).await;
        assert_eq!(reply.status, code);
        assert!(!reply.headers.contains_key("retry-after"));
    }
    let reply = get(upstream.address(), "/status/503?retry_after=2").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "2");
}

#[tokio::test]
async fn bad_numbers_are_answered_with_what_is_expected() {
    let upstream = MockService::start().await;
    let reply = get(upstream.address(), "/status/teapot").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let expected = json!({ "error": "expected a status from 200 to 599, got \"teapot\"" });
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn delay_waits_before_it_echoes() {
    let upstream = MockService::start().await;
    let before = Instant::now();
    let reply = get(upstream.address(), "/delay/30").await;
    assert!(before.elapsed() >= Duration::from_millis(30));
    assert_eq!(reply.json()["path"], "/delay/30");
}

#[tokio::test]
async fn flaky_fails_twice_then_succeeds_over_and_over() {
    let upstream = MockService::start().await;
    for _ in 0..2 {
        for nth in 1..=2 {
            let reply = get(upstream.address(), "/flaky").await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(reply.json()["attempt"], nth);
        }
        let reply = get(upstream.address(), "/flaky").await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json()["attempts"], 3);
        let times = reply.json()["attempt_times_ms"].clone();
        assert_eq!(times.as_array().map(Vec::len), Some(3));
        assert_eq!(times[0], 0.0);
    }
}

#[tokio::test]
async fn fail_counts_each_key_apart() {
    let upstream = MockService::start().await;
    let with_key = |key: &str| {
        let mut request = request("GET", "/fail/1?status=500", "");
        request
            .headers_mut()
            .insert("x-flaky-key", key.parse().unwrap());
        request
    };
    for (key, expected) in [("a", 500), ("b", 500), ("a", 200), ("b", 200)] {
        let reply = send(upstream.address(), with_key(key)).await;
        assert_eq!(reply.status, expected, "{key}");
    }
    let by_query = get(upstream.address(), "/fail/1?key=c").await;
    assert_eq!(by_query.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn truncate_announces_more_than_it_sends() {
    let upstream = MockService::start().await;
    let stream = open_get(upstream.address(), "/truncate", "").await;
    let reply = read_until_closed(stream).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("content-length: 100\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\n0123456789"), "{reply}");
}

#[tokio::test]
async fn reset_closes_without_an_answer_and_without_reading_the_body() {
    let upstream = MockService::start().await;
    // The body is announced and never sent: the service must not wait for it.
    let headers = "content-length: 5\r\n";
    let stream = open_get(upstream.address(), "/reset", headers).await;
    assert_eq!(read_until_closed(stream).await, "");
}

#[tokio::test]
async fn stream_sends_chunks_one_by_one() {
    let upstream = MockService::start().await;
    let stream = open_get(
        upstream.address(),
        "/stream/2?interval_ms=0",
        "connection: close\r\n",
    )
    .await;
    let reply = read_until_closed(stream).await;
    assert!(reply.contains("transfer-encoding: chunked\r\n"), "{reply}");
    let chunks = "\r\n\r\nD\r\nchunk 1 of 2\n\r\nD\r\nchunk 2 of 2\n\r\n0\r\n\r\n";
    assert!(reply.ends_with(chunks), "{reply}");
}

#[tokio::test]
async fn a_chunk_arrives_before_the_next_one_is_due() {
    let upstream = MockService::start().await;
    let target = "/stream/2?interval_ms=600000";
    let mut stream = open_get(upstream.address(), target, "").await;
    read_until(&mut stream, "chunk 1 of 2\n\r\n").await;
}

#[tokio::test]
async fn bytes_sends_as_many_bytes_as_asked_for() {
    let upstream = MockService::start().await;
    for count in [0, 1, 65_536, 200_000] {
        let reply = get(upstream.address(), &format!("/bytes/{count}")).await;
        assert_eq!(reply.headers["content-length"], count.to_string());
        assert_eq!(reply.body.len(), count);
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let upstream = MockService::start().await;
    let reply = send(upstream.address(), request("HEAD", "/bytes/10", "")).await;
    assert_eq!(reply.headers["content-length"], "10");
    assert!(reply.body.is_empty());
}
