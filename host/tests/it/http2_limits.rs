//! What clients may take over HTTP/2, where a connection has many requests.

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, Version};
use mock_service::MockService;
use tokio::net::TcpStream;

use crate::support::frames::{
    ACK, END_HEADERS, END_STREAM, FrameConnection, GOAWAY, HEADERS, PING, frame,
};
use crate::support::raw::RawUpstream;
use crate::support::{TestGateway, eventually, within};

async fn gateway_to(url: &str, bounds: &str) -> TestGateway {
    TestGateway::start(&format!(
        "{bounds}\nupstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n"
    ))
    .await
}

type Client = (SendRequest<Bytes>, Connection<TcpStream>);

async fn handshake(gateway: &TestGateway) -> Client {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    within(h2::client::handshake(stream)).await.unwrap()
}

/// A connection, driven in the background.
async fn connect(gateway: &TestGateway) -> SendRequest<Bytes> {
    let (client, connection) = handshake(gateway).await;
    tokio::spawn(connection);
    client
}

/// Sends the head of a request, whose body ends with it or not: the answer's head, and the body's stream.
async fn ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &str,
    ends: bool,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut ready = within(client.clone().ready()).await.unwrap();
    let (response, mut stream) = ready
        .send_request(request, ends && body.is_empty())
        .unwrap();
    if !body.is_empty() {
        stream
            .send_data(Bytes::from(body.to_owned()), ends)
            .unwrap();
    }
    (within(response).await.unwrap(), stream)
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://a{path}");
    let request = Request::builder().method(method).uri(uri);
    request.version(Version::HTTP_2).body(()).unwrap()
}

async fn status(client: &SendRequest<Bytes>, request: Request<()>, body: &str) -> u16 {
    ask(client, request, body, true).await.0.status().as_u16()
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_reset_and_frees_its_upstream() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "timeouts: { write_idle: 200ms }").await;
    let client = connect(&gateway).await;
    let get = request(Method::GET, "/bytes/8388608");
    let (response, _stream) = ask(&client, get, "", true).await;
    let mut body = response.into_body();
    // What the window takes, and then no more.
    let reason = loop {
        match within(body.data()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.reason(),
            None => panic!("the body has come whole without room for it"),
        }
    };
    assert_eq!(reason, Some(Reason::CANCEL));
    upstream.wait_for_open_connections(0).await;
    let labels = [("portcullis_reason", "write_idle")];
    gateway
        .wait_for_metric("portcullis_connections_timed_out_total", &labels, 1.0)
        .await;
    // The other streams go on.
    assert_eq!(status(&client, request(Method::GET, "/x"), "").await, 200);
}

#[tokio::test]
async fn a_stream_that_waits_for_its_upstream_has_time() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "timeouts: { write_idle: 50ms }").await;
    let client = connect(&gateway).await;
    let get = request(Method::GET, "/stream/3?interval_ms=200");
    let (response, _stream) = ask(&client, get, "", true).await;
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(data) = within(body.data()).await {
        text.extend(data.unwrap());
    }
    assert!(text.ends_with(b"chunk 3 of 3\n"));
}

#[tokio::test]
async fn a_connection_without_requests_is_told_to_go_away() {
    let upstream = MockService::start().await;
    let timeouts = "timeouts: { keep_alive: 200ms, head: 200ms }";
    let gateway = gateway_to(&upstream.url(), timeouts).await;
    for asks in [true, false] {
        let (client, connection) = handshake(&gateway).await;
        let driven = tokio::spawn(connection);
        if asks {
            assert_eq!(status(&client, request(Method::GET, "/x"), "").await, 200);
        }
        // Without GOAWAY this would be an error.
        within(driven).await.unwrap().unwrap();
    }
    let labels = [("portcullis_reason", "keep_alive")];
    gateway
        .wait_for_metric("portcullis_connections_timed_out_total", &labels, 2.0)
        .await;
}

/// A connection that is told to go away once it has waited for `head`, and the PING that comes with that.
async fn leaving(gateway: &TestGateway) -> (FrameConnection, Vec<u8>) {
    let mut client = FrameConnection::connect(gateway).await;
    let goaway = client.until(&[], GOAWAY).await;
    assert_eq!(
        goaway[..4],
        0x7fff_ffff_u32.to_be_bytes(),
        "takes all streams"
    );
    let ping = client.until(&[], PING).await;
    (client, ping)
}

#[tokio::test]
async fn a_request_that_meets_the_goodbye_is_answered() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(
        &upstream.url(),
        "timeouts: { head: 300ms, keep_alive: 10s }",
    )
    .await;
    let (mut client, ping) = leaving(&gateway).await;
    // `GET http://a/x` in HPACK.
    let request = frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        b"\x82\x86\x44\x02/x\x41\x01a",
    );
    let response = client.until(&request, HEADERS).await;
    assert_eq!(response[0], 0x88, "`:status: 200` in HPACK");
    let last = client.until(&frame(PING, ACK, 0, &ping), GOAWAY).await;
    assert_eq!(last[..4], 1_u32.to_be_bytes(), "names the last stream");
    while within(client.next()).await.is_some() {}
    let labels = [("portcullis_reason", "keep_alive")];
    gateway
        .wait_for_metric("portcullis_connections_timed_out_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn who_does_not_answer_the_goodbye_is_left() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "timeouts: { head: 200ms }").await;
    let (mut client, _) = leaving(&gateway).await;
    while within(client.next()).await.is_some() {}
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn so_many_streams_at_a_time_are_offered() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url(), "limits: { h2_streams: 7 }").await;
    let (client, mut connection) = handshake(&gateway).await;
    eventually("the settings have come", async || {
        let step = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut connection).poll(cx))
        });
        assert!(step.await.is_pending());
        client.current_max_send_streams() == 7
    })
    .await;
}

#[tokio::test]
async fn heads_and_bodies_are_bounded_as_with_http_1() {
    let upstream = MockService::start().await;
    let bounds = "limits: { headers: 4, uri_bytes: 256B, body: 10B }";
    let gateway = gateway_to(&upstream.url(), bounds).await;
    let client = connect(&gateway).await;
    let mut many = request(Method::GET, "/x");
    for name in ["x-1", "x-2", "x-3", "x-4", "x-5"] {
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(status(&client, many, "").await, 431);
    let long = request(Method::GET, &format!("/{}", "p".repeat(256)));
    assert_eq!(status(&client, long, "").await, 414);
    let post = || request(Method::POST, "/x");
    assert_eq!(status(&client, post(), "0123456789").await, 200);
    let (response, _stream) = ask(&client, post(), "01234567890", true).await;
    assert_eq!(response.status(), 413);
    assert!(!response.headers().contains_key("connection"));
    let mut declared = post();
    declared
        .headers_mut()
        .insert("content-length", "11".parse().unwrap());
    let (response, _stream) = ask(&client, declared, "0", false).await;
    assert_eq!(response.status(), 413);
    // One connection has carried it all.
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 1.0)
        .await;
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_the_connection_serves_on() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url(), "timeouts: { body_idle: 100ms }").await;
    let client = connect(&gateway).await;
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service.rest().await;
    };
    let post = request(Method::POST, "/x");
    let ((response, _stream), ()) = tokio::join!(ask(&client, post, "hello", false), serve);
    assert_eq!(response.status(), 408);
    assert_eq!(
        response.headers()["x-portcullis-error"],
        "request-body-timeout"
    );
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        service
    };
    let get = request(Method::GET, "/x");
    let (status, _service) = tokio::join!(status(&client, get, ""), serve);
    assert_eq!(status, 204);
}
