//! A response passes as it comes: nothing waits for its end.

use http::Request;
use tokio::net::TcpStream;

use crate::support::raw::{RawConnection, RawUpstream, field};
use crate::support::{TestGateway, within};

async fn gateway_to(upstream: &RawUpstream) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [\"{}\"] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    ))
    .await
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn each_event_reaches_an_http1_client_before_the_next_is_there() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(EVENTS).await;
    let head = client.head().await;
    assert_eq!(field(&head, "content-type"), Some("text/event-stream"));
    service.send("9\r\ndata: 1\n\n\r\n").await;
    assert_eq!(client.chunk().await, "data: 1\n\n");
    service.send("9\r\ndata: 2\n\n\r\n").await;
    assert_eq!(client.chunk().await, "data: 2\n\n");
    service.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn each_event_reaches_an_http2_client_before_the_next_is_there() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://a/events").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut service = upstream.accept().await;
    service.head().await;
    service.send(EVENTS).await;
    let mut body = within(response).await.unwrap().into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        service.send(&format!("9\r\n{event}\r\n")).await;
        assert_eq!(within(body.data()).await.unwrap().unwrap(), event);
    }
    service.send("0\r\n\r\n").await;
    assert!(
        within(body.data())
            .await
            .is_none_or(|data| data.unwrap().is_empty())
    );
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_passes_as_it_comes() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service.send("HTTP/1.1 200 OK\r\n\r\nfirst").await;
    client.head().await;
    assert_eq!(client.chunk().await, "first");
    service.send("second").await;
    assert_eq!(client.chunk().await, "second");
    drop(service);
    assert_eq!(client.chunk().await, "");
}
