//! SIGTERM under load: whoever has been heard is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mock_service::MockService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, field};
use crate::support::{eventually, within};

const REQUEST: &str = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

fn config(url: &str, drain: &str) -> String {
    format!(
        "workers: 2\n{drain}upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n"
    )
}

/// Sends a request and reads its answer: whether the connection may be used again.
async fn exchange(stream: &mut TcpStream) -> Result<bool, String> {
    stream
        .write_all(REQUEST.as_bytes())
        .await
        .map_err(|error| format!("sending: {error}"))?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream
            .read(&mut buffer)
            .await
            .map_err(|error| format!("reading: {error}"))?;
        if count == 0 {
            return Err(format!(
                "closed after {:?}",
                String::from_utf8_lossy(&answer)
            ));
        }
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length: usize = field(head, "content-length").unwrap().parse().unwrap();
        if body.len() >= length {
            return Ok(field(head, "connection") != Some("close"));
        }
    }
}

/// Sends requests until nobody listens any more; retries nothing. Reconnects where it is told to, and
/// after each request if it is not to `keep` its connection.
async fn client(address: SocketAddr, keep: bool, served: Arc<AtomicUsize>) -> Result<(), String> {
    while let Ok(mut stream) = TcpStream::connect(address).await {
        while exchange(&mut stream).await? {
            served.fetch_add(1, Ordering::Relaxed);
            if !keep {
                break;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn sigterm_under_load_fails_no_request() {
    for round in 0..4 {
        let upstream = MockService::start().await;
        let mut gateway = Portcullis::start(&config(&upstream.url(), "")).await;
        let served = Arc::<AtomicUsize>::default();
        let start = |number: usize| {
            tokio::spawn(client(
                gateway.address,
                number.is_multiple_of(2),
                served.clone(),
            ))
        };
        let clients: Vec<JoinHandle<_>> = (0..12).map(start).collect();
        eventually("requests are served", async || {
            served.load(Ordering::Relaxed) > 100
        })
        .await;
        gateway.signal("TERM");
        for (number, client) in clients.into_iter().enumerate() {
            assert_eq!(
                within(client).await.unwrap(),
                Ok(()),
                "round {round}, client {number}"
            );
        }
        assert_eq!(gateway.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn readiness_fails_before_the_listener_closes() {
    let upstream = MockService::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "drain_delay: 3s\n")).await;
    gateway.signal("TERM");
    eventually("the gateway is not ready", async || {
        let mut status = RawConnection::connect(gateway.metrics_address).await;
        status.send("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        status.head().await.starts_with("HTTP/1.1 503")
    })
    .await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(
        exchange(&mut stream).await,
        Ok(true),
        "it still serves as ever"
    );
    drop(stream);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn a_kept_connection_is_told_to_close_with_its_next_answer() {
    let upstream = MockService::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "")).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(exchange(&mut stream).await, Ok(true));
    gateway.signal("TERM");
    // Each answer before the drain leaves the connection as it is.
    while within(exchange(&mut stream)).await.unwrap() {}
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// The same over HTTP/2, with several streams at a time. A request that was not sent because of GOAWAY
/// has not been heard.
async fn multiplexing_client(address: SocketAddr, served: Arc<AtomicUsize>) -> Result<(), String> {
    while let Ok(stream) = TcpStream::connect(address).await {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| format!("handshake: {error}"))?;
        tokio::spawn(connection);
        let streams: Vec<_> = (0..4)
            .map(|_| tokio::spawn(stream_of_requests(sender.clone(), served.clone())))
            .collect();
        for stream in streams {
            stream.await.unwrap()?;
        }
    }
    Ok(())
}

async fn stream_of_requests(
    mut sender: http2::SendRequest<Empty<Bytes>>,
    served: Arc<AtomicUsize>,
) -> Result<(), String> {
    while sender.ready().await.is_ok() {
        let request = Request::get("http://a/x").body(Empty::new()).unwrap();
        match sender.try_send_request(request).await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                let body = answer.into_body().collect().await;
                body.map_err(|error| format!("reading: {error}"))?;
                served.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.message().is_some() => break,
            Err(error) => return Err(format!("sending: {:?}", error.into_error())),
        }
    }
    Ok(())
}

#[tokio::test]
async fn sigterm_under_load_fails_no_request_over_http2() {
    let upstream = MockService::start().await;
    let mut gateway = Portcullis::start(&config(&upstream.url(), "")).await;
    let served = Arc::<AtomicUsize>::default();
    let start = |_| tokio::spawn(multiplexing_client(gateway.address, served.clone()));
    let clients: Vec<JoinHandle<_>> = (0..4).map(start).collect();
    eventually("requests are served", async || {
        served.load(Ordering::Relaxed) > 100
    })
    .await;
    gateway.signal("TERM");
    for client in clients {
        assert_eq!(within(client).await.unwrap(), Ok(()));
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}
