//! HTTP/2 to upstreams: streams and connections, refusals, resets, trailers, both directions at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use mock_service::{MockService, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::http2::H2Upstream;
use crate::support::raw::{RawConnection, field};
use crate::support::{TestGateway, eventually, within};

async fn gateway_to(url: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ s: {{ endpoints: [\"{url}\"], protocol: http2 }} }}
routes: [{{ name: all, upstream: s }}]"
    ))
    .await
}

#[tokio::test]
async fn requests_share_a_connection_and_have_heads_of_http2() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = RawConnection::connect(gateway.address).await;
        let head =
            format!("GET /{number}?x HTTP/1.1\r\nhost: shop.example\r\nte: trailers\r\n\r\n");
        client.send(&head).await;
        clients.push(client);
    }
    let mut connection = upstream.accept().await;
    for _ in 0..3 {
        let exchange = connection.request().await;
        let uri = exchange.request.uri().clone();
        assert_eq!(uri.scheme_str(), Some("http"));
        assert_eq!(uri.authority().unwrap(), "shop.example");
        let headers = exchange.request.headers();
        assert!(!headers.contains_key("host") && !headers.contains_key("connection"));
        assert_eq!(headers["te"], "trailers");
        exchange.answer(uri.path());
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.chunk().await, format!("/{number}"));
    }
}

#[tokio::test]
async fn a_full_connection_gets_another_beside_it() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1);
    let first = gateway.get("/1");
    let test = async {
        let mut one = upstream.accept_with(&settings).await;
        let held = one.request().await;
        let second = gateway.get("/2");
        let serve = async {
            let mut two = upstream.accept_with(&settings).await;
            two.request().await.answer("second");
            held.answer("first");
            // As long as the connections live, the answers can be written.
            (one, two)
        };
        let (second, _open) = tokio::join!(second, serve);
        second
    };
    let (first, second) = tokio::join!(first, test);
    assert_eq!(
        (first.text(), second.text()),
        ("first".into(), "second".into())
    );
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_even_with_a_body_and_post() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let serve = async {
        let mut connection = upstream.accept().await;
        let mut refused = connection.request().await;
        refused.respond.send_reset(h2::Reason::REFUSED_STREAM);
        let mut again = connection.request().await;
        assert_eq!(again.body().await.0, "order");
        again.answer("done");
        connection
    };
    let (answer, _connection) = tokio::join!(gateway.post("/", "order"), serve);
    assert_eq!(answer.text(), "done");
}

#[tokio::test]
async fn streams_that_a_goaway_leaves_out_go_to_a_new_connection() {
    const SETTINGS: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    const GOAWAY: &[u8] = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let serve = async {
        let mut leaving = upstream.accept_raw().await;
        leaving.write_all(SETTINGS).await.unwrap();
        // The preface, then frames: until the request's HEADERS have come.
        leaving.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut head = [0; 9];
            within(leaving.read_exact(&mut head)).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            leaving.read_exact(&mut payload).await.unwrap();
            if head[3] == 1 {
                break;
            }
        }
        leaving.write_all(GOAWAY).await.unwrap();
        let mut connection = upstream.accept().await;
        let mut again = connection.request().await;
        assert_eq!(again.body().await.0, "order");
        again.answer("done");
        (leaving, connection)
    };
    let (answer, _connections) = tokio::join!(gateway.post("/", "order"), serve);
    assert_eq!(answer.text(), "done");
}

#[tokio::test]
async fn a_reset_amid_a_body_is_not_taken_for_its_end() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    let mut exchange = connection.request().await;
    let mut stream = exchange
        .respond
        .send_response(Response::new(()), false)
        .unwrap();
    stream
        .send_data(Bytes::from_static(b"half"), false)
        .unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.chunk().await, "half");
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn trailers_pass_both_ways_between_http1_and_http2() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\nhost: evil\r\n\r\n")
        .await;
    let mut connection = upstream.accept().await;
    let mut exchange = connection.request().await;
    let (body, trailers) = exchange.body().await;
    assert_eq!(body, "hello");
    let trailers = trailers.unwrap();
    assert_eq!(trailers["x-sum"], "5");
    assert!(!trailers.contains_key("host"), "{trailers:?}");
    let head = Response::builder()
        .header("trailer", "x-mark")
        .body(())
        .unwrap();
    let mut stream = exchange.respond.send_response(head, false).unwrap();
    stream
        .send_data(Bytes::from_static(b"world"), false)
        .unwrap();
    let trailers = HeaderMap::from_iter([("x-mark".parse().unwrap(), "6".parse().unwrap())]);
    stream.send_trailers(trailers).unwrap();
    let head = client.head().await;
    assert_eq!(field(&head, "trailer"), Some("x-mark"));
    assert_eq!(client.chunk().await, "world");
    assert_eq!(
        client.exactly("0\r\nx-mark: 6\r\n\r\n".len()).await,
        "0\r\nx-mark: 6\r\n\r\n"
    );
}

#[tokio::test]
async fn a_response_starts_while_the_request_goes_on() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    let mut connection = upstream.accept().await;
    let mut exchange = connection.request().await;
    let body = exchange.request.body_mut();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "one");
    let mut stream = exchange
        .respond
        .send_response(Response::new(()), false)
        .unwrap();
    stream
        .send_data(Bytes::from_static(b"got one"), false)
        .unwrap();
    client.head().await;
    assert_eq!(client.chunk().await, "got one");
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "two");
    stream
        .send_data(Bytes::from_static(b"got two"), true)
        .unwrap();
    assert_eq!(client.chunk().await, "got two");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_stream_and_the_connection_serves_on() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    let mut waiting = connection.request().await;
    drop(client);
    let left = Instant::now();
    let reason = within(std::future::poll_fn(|cx| waiting.respond.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), h2::Reason::CANCEL);
    assert!(left.elapsed() < Duration::from_secs(1));

    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /body HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut reading = connection.request().await;
    let mut stream = reading
        .respond
        .send_response(Response::new(()), false)
        .unwrap();
    stream
        .send_data(Bytes::from_static(b"some"), false)
        .unwrap();
    client.head().await;
    drop(client);
    let left = Instant::now();
    let reason = within(std::future::poll_fn(|cx| stream.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), h2::Reason::CANCEL);
    assert!(left.elapsed() < Duration::from_secs(1));

    let serve = async { connection.request().await.answer("still here") };
    let (answer, ()) = tokio::join!(gateway.get("/"), serve);
    assert_eq!(answer.text(), "still here");
}

#[tokio::test]
async fn who_does_not_speak_http2_is_a_bad_gateway() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let answer = gateway.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("x-portcullis-error"), "upstream-protocol");
}

#[tokio::test]
async fn heads_without_bodies_keep_their_lengths_over_http2() {
    let upstream = H2Upstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let serve = async {
        let mut connection = upstream.accept().await;
        for status in [200, 204, 304] {
            let mut exchange = connection.request().await;
            let mut head = Response::builder().status(status);
            if status != 204 {
                head = head.header("content-length", "1000");
            }
            exchange
                .respond
                .send_response(head.body(()).unwrap(), true)
                .unwrap();
        }
        connection
    };
    let ask = async {
        let mut client = gateway.client().await;
        let head = client.send(Method::HEAD, "/", &[], "").await;
        assert_eq!(head.header("content-length"), "1000");
        assert_eq!(client.send(Method::GET, "/", &[], "").await.status, 204);
        let unchanged = client.send(Method::GET, "/", &[], "").await;
        assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    };
    let (_connection, ()) = tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_connection_closes_when_a_reload_leaves_it_to_nobody() {
    let upstream = H2Upstream::start().await;
    let other = MockService::start().await;
    other.script("/", vec![Step::respond(200, "other")]);
    let gateway = gateway_to(&upstream.url()).await;
    let serve = async {
        let mut connection = upstream.accept().await;
        connection.request().await.answer("first");
        connection
    };
    let (answer, mut connection) = tokio::join!(gateway.get("/"), serve);
    assert_eq!(answer.text(), "first");
    let config = format!(
        "upstreams: {{ s: {{ endpoints: [\"{}\"] }} }}
routes: [{{ name: all, upstream: s }}]",
        other.url()
    );
    gateway.reload(&config).await.unwrap();
    eventually("the other serves", async || {
        gateway.get("/").await.text() == "other"
    })
    .await;
    connection.closed().await;
}
