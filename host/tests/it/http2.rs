//! HTTP/2 from clients, in the clear by prior knowledge.

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Method, Request, Version};
use mock_service::{MockService, Step};
use tokio::net::TcpStream;

use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{TestGateway, freed_within_a_second, within};

/// A gateway with one route to `url`.
async fn gateway_to(url: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]"
    ))
    .await
}

/// A connection, driven in the background.
async fn connect(gateway: &TestGateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn request(method: Method, uri: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(uri);
    request.version(Version::HTTP_2).body(()).unwrap()
}

/// Status and body of the answer.
async fn send(client: &mut SendRequest<Bytes>, request: Request<()>, body: &str) -> Answer {
    within(try_send(client, request, body)).await.unwrap()
}

type Answer = (http::response::Parts, String);

async fn try_send(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: &str,
) -> Result<Answer, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from(body.to_owned()), true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    let mut text = String::new();
    while let Some(data) = body.data().await {
        let data = data?;
        text += std::str::from_utf8(&data).unwrap();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((head, text))
}

#[tokio::test]
async fn requests_of_one_connection_are_served_side_by_side() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let mut other = client.clone();
    let first = send(&mut client, request(Method::GET, "http://a/first"), "");
    let second = send(&mut other, request(Method::GET, "http://a/second"), "");
    let serve = async {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut connection = upstream.accept().await;
            let head = connection.head().await;
            heads.push((head, connection));
        }
        // Both are waiting; the later one is answered first.
        for (head, connection) in heads.iter_mut().rev() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            connection
                .send(&format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}",
                    path.len()
                ))
                .await;
        }
        heads
    };
    let (first, second, _heads) = tokio::join!(first, second, serve);
    assert_eq!((first.0.status.as_u16(), &*first.1), (200, "/first"));
    assert_eq!((second.0.status.as_u16(), &*second.1), (200, "/second"));
}

#[tokio::test]
async fn the_upstream_sees_http_1_with_one_host_and_one_cookie_field() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let mut request = request(Method::POST, "http://a.test:81/x?y=1");
    let headers = request.headers_mut();
    headers.append("cookie", "a=1".parse().unwrap());
    headers.append("cookie", "b=2".parse().unwrap());
    headers.append("te", "trailers".parse().unwrap());
    let (head, _) = send(&mut client, request, "hello").await;
    assert_eq!(head.status, 200);
    let seen = &upstream.requests()[0];
    assert_eq!(seen.headers["host"], "a.test:81");
    assert_eq!(seen.headers["cookie"], "a=1; b=2");
    assert_eq!(seen.headers["x-forwarded-host"], "a.test:81");
    assert_eq!(
        (&*seen.path, &*seen.query, &*seen.body),
        ("/x", "y=1", &b"hello"[..])
    );
}

#[tokio::test]
async fn heads_that_contradict_themselves_are_refused() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let mut two_hosts = request(Method::GET, "http://a/x");
    two_hosts.headers_mut().insert("host", "b".parse().unwrap());
    let (head, body) = send(&mut client, two_hosts, "").await;
    assert_eq!(head.status, 400, "{body}");
    assert_eq!(head.headers["x-portcullis-error"], "bad-request");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_the_connection_serves_on() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let mut long = request(Method::GET, "http://a/x");
    for number in 0..80 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        let value = "v".repeat(1_000).parse().unwrap();
        long.headers_mut().insert(name, value);
    }
    let (head, _) = send(&mut client, long, "").await;
    assert_eq!(head.status, 431);
    let (head, _) = send(&mut client, request(Method::GET, "http://a/x"), "").await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn an_answer_to_head_has_no_content() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let (head, body) = send(&mut client, request(Method::HEAD, "http://a/x"), "").await;
    assert_eq!((head.status.as_u16(), &*body), (200, ""));
    // The gateway's own answers, too.
    let mut refused = request(Method::HEAD, "http://a/x");
    refused.headers_mut().insert("host", "b".parse().unwrap());
    let (head, body) = send(&mut client, refused, "").await;
    assert_eq!((head.status.as_u16(), &*body), (400, ""));
}

#[tokio::test]
async fn a_reset_stream_frees_the_upstreams_connection() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let gateway = gateway_to(&upstream.url()).await;
    let client = connect(&gateway).await;
    let mut ready = client.ready().await.unwrap();
    let (response, mut stream) = ready
        .send_request(request(Method::GET, "http://a/hang"), true)
        .unwrap();
    upstream.wait_for_requests(1).await;
    stream.send_reset(Reason::CANCEL);
    freed_within_a_second(&upstream).await;
    drop(response);
}

#[tokio::test]
async fn a_stream_that_is_reset_or_cut_amid_its_body_frees_the_upstreams_connection() {
    for resets in [true, false] {
        let upstream = MockService::start().await;
        let gateway = gateway_to(&upstream.url()).await;
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut ready = client.ready().await.unwrap();
        let streamed = "http://a/stream/100000?interval_ms=5";
        let (response, mut stream) = ready
            .send_request(request(Method::GET, streamed), true)
            .unwrap();
        let mut body = within(response).await.unwrap().into_body();
        within(body.data()).await.unwrap().unwrap();
        if resets {
            stream.send_reset(Reason::CANCEL);
        } else {
            driver.abort();
        }
        freed_within_a_second(&upstream).await;
    }
}

#[tokio::test]
async fn trailers_of_the_upstream_reach_the_client() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let client = connect(&gateway).await;
    let mut client = client.ready().await.unwrap();
    let (response, _) = client
        .send_request(request(Method::GET, "http://a/x"), true)
        .unwrap();
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             4\r\ndone\r\n0\r\nx-sum: 42\r\n\r\n",
        )
        .await;
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "done");
    let trailers = within(body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["x-sum"], "42");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_its_time() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "timeouts: {{ keep_alive: 100ms }}\nupstreams: {{ u: {{ endpoints: [{}] }} }}\n\
         routes: [{{ name: r, upstream: u }}]",
        upstream.url()
    ))
    .await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    // One that takes longer than that does not count.
    let slow = request(Method::GET, "http://a/delay/300");
    let (head, _) = send(&mut client, slow, "").await;
    assert_eq!(head.status, 200);
    let _ = within(ended).await.unwrap();
    let labels = [("portcullis_reason", "keep_alive")];
    gateway
        .wait_for_metric("portcullis_connections_timed_out_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let upstream = MockService::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut client = connect(&gateway).await;
    let body = "0123456789abcdef".repeat(128 << 10);
    let ready = client.clone().ready().await.unwrap();
    let mut ready = ready;
    let (response, mut stream) = ready
        .send_request(request(Method::POST, "http://a/x"), false)
        .unwrap();
    stream.send_data(Bytes::from(body.clone()), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    assert_eq!(upstream.requests()[0].body.len(), body.len());
    let (_, text) = send(
        &mut client,
        request(Method::GET, "http://a/bytes/3000000"),
        "",
    )
    .await;
    assert_eq!(text.len(), 3_000_000);
}

#[tokio::test]
async fn http_1_is_spoken_where_h2c_is_switched_off() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start_on(
        "h2c: false",
        &format!(
            "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
            upstream.url()
        ),
    )
    .await;
    assert_eq!(gateway.get("/x").await.status, 200);
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!client.rest().await.contains("200"));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_drain_ends_streams_in_flight_well_and_idle_connections_at_once() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream.url()).await;
    let mut idle = connect(&gateway).await;
    idle = within(idle.ready()).await.unwrap();
    let client = connect(&gateway).await;
    let mut busy = client.ready().await.unwrap();
    let (response, _) = busy
        .send_request(request(Method::GET, "http://a/x"), true)
        .unwrap();
    let mut service = upstream.accept().await;
    service.head().await;
    let stop = tokio::spawn(gateway.stop());
    // GOAWAY: no other request is taken.
    within(async {
        while idle.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stop.is_finished());
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .await;
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "done");
    within(stop).await.unwrap();
}
