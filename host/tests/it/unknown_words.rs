//! Methods and statuses that the gateway knows nothing of pass as they are.

use http::{Method, Request};
use tokio::net::TcpStream;

use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{TestGateway, within};

const METHODS: [&str; 4] = [
    "PROPFIND",
    "get",
    "AN-EXTENSION-OF-THIRTY-LETTERS",
    "X!#$%&'*+-.^_`|~9",
];
const STATUSES: [u16; 4] = [299, 418, 499, 599];

async fn gateway_to(upstream: &RawUpstream) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [\"{}\"] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    ))
    .await
}

/// Serves one request on a connection of its own: its request line.
async fn serve(upstream: &RawUpstream, status: u16) -> String {
    let mut service = upstream.accept().await;
    let head = service.head().await;
    let answer =
        format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    service.send(&answer).await;
    head.lines().next().unwrap().to_owned()
}

/// Each method with one status, and each status with one method.
fn pairs() -> impl Iterator<Item = (&'static str, u16)> {
    let methods = METHODS.into_iter().map(|method| (method, 200));
    methods.chain(STATUSES.into_iter().map(|status| ("GET", status)))
}

#[tokio::test]
async fn unknown_methods_and_statuses_pass_over_http1() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream).await;
    let mut client = RawConnection::connect(gateway.address).await;
    for (method, status) in pairs() {
        let line = format!("{method} /x HTTP/1.1");
        client.send(&format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert_eq!(serve(&upstream, status).await, line);
        let (head, body) = client.message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(body, "ok");
    }
}

#[tokio::test]
async fn unknown_methods_and_statuses_pass_from_http2() {
    let upstream = RawUpstream::start().await;
    let gateway = gateway_to(&upstream).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    for (method, status) in pairs() {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri("http://a/x");
        let mut ready = client.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
        let line = serve(&upstream, status).await;
        assert_eq!(line, format!("{method} /x HTTP/1.1"));
        assert_eq!(within(response).await.unwrap().status(), status);
    }
}
