//! Endpoints with names: where they lead, and what becomes of requests when that changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use mock_service::MockService;

use crate::support::name_server::{NameServer, Reply};
use crate::support::{TestClient, TestGateway, eventually, within};

const NAME: &str = "service.test";
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Two services on one port of two addresses.
async fn two_on_one_port() -> (MockService, MockService, u16) {
    loop {
        let first = MockService::start().await;
        let port = first.address().port();
        if let Ok(second) = MockService::bind(SocketAddr::from((SECOND, port))).await {
            return (first, second, port);
        }
    }
}

async fn gateway_to(server: &NameServer, port: u16, workers: usize) -> TestGateway {
    TestGateway::start(&format!(
        "workers: {workers}\ndns: {{ servers: ['{}'] }}\n\
         upstreams: {{ u: {{ endpoints: ['http://{NAME}:{port}'] }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        server.address()
    ))
    .await
}

#[tokio::test]
async fn each_address_of_a_name_is_an_endpoint() {
    for workers in [1, 2] {
        let (first, second, port) = two_on_one_port().await;
        let server = NameServer::start().await;
        server.tell(NAME, Reply::Addresses(vec![SECOND, FIRST]));
        let gateway = gateway_to(&server, port, workers).await;
        for _ in 0..20 {
            assert_eq!(gateway.get("/x").await.status, 200);
        }
        for service in [&first, &second] {
            let requests = service.requests();
            assert!((9..=11).contains(&requests.len()), "{}", requests.len());
        }
        let status = gateway.upstreams();
        let endpoints = status[0]
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint.authority.clone()));
        let expected = [FIRST, SECOND].map(|ip| (format!("{ip}:{port}"), format!("{NAME}:{port}")));
        assert!(endpoints.eq(expected), "{status:?}");
    }
}

#[tokio::test]
async fn a_change_of_address_fails_no_request() {
    for workers in [1, 2] {
        let (first, second, port) = two_on_one_port().await;
        let server = NameServer::start().await;
        server.tell(NAME, Reply::Addresses(vec![FIRST]));
        let gateway = gateway_to(&server, port, workers).await;
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (stop, served, address) = (stop.clone(), served.clone(), gateway.address);
                tokio::spawn(async move {
                    let mut client = TestClient::connect(address).await;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = client.send(Method::GET, "/x", &[], "").await;
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        eventually("there is load", async || {
            served.load(Ordering::Relaxed) > 50
        })
        .await;
        assert!(second.requests().is_empty());
        server.tell(NAME, Reply::Addresses(vec![SECOND]));
        second.wait_for_requests(50).await;
        // Connections to the address that is gone are closed; the load goes on elsewhere.
        first.wait_for_open_connections(0).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            within(client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lookup_that_fails_keeps_the_last_answer() {
    for failure in [Reply::NoSuchName, Reply::Silence] {
        let (first, _second, port) = two_on_one_port().await;
        let server = NameServer::start().await;
        server.tell(NAME, Reply::Addresses(vec![FIRST]));
        let gateway = gateway_to(&server, port, 1).await;
        server.tell(NAME, failure);
        server.wait_for_questions(2).await;
        assert_eq!(gateway.get("/x").await.status, 200);
        assert_eq!(first.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_gives_502_until_it_is() {
    let (first, _second, port) = two_on_one_port().await;
    let server = NameServer::start().await;
    let gateway = gateway_to(&server, port, 1).await;
    let answer = gateway.get("/x").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("x-portcullis-error"), "upstream-dns");
    server.tell(NAME, Reply::Addresses(vec![FIRST]));
    eventually("the name is found", async || {
        gateway.get("/x").await.status == 200
    })
    .await;
    assert!(!first.requests().is_empty());
}

#[tokio::test]
async fn a_name_server_that_is_silent_does_not_keep_the_gateway_from_starting() {
    let server = NameServer::start().await;
    server.tell(NAME, Reply::Silence);
    let gateway = within(gateway_to(&server, 80, 1)).await;
    assert_eq!(
        gateway.get("/x").await.header("x-portcullis-error"),
        "upstream-dns"
    );
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let service = MockService::start().await;
    let server = NameServer::start().await;
    let gateway = TestGateway::start(&format!(
        "dns: {{ servers: ['{}'] }}\n\
         upstreams: {{ u: {{ endpoints: ['http://localhost:{}'] }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        server.address(),
        service.address().port()
    ))
    .await;
    // Also where ::1 is an address of localhost at which nobody listens.
    for _ in 0..4 {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
    assert_eq!(service.requests().len(), 4);
}

#[tokio::test]
async fn a_reload_keeps_the_addresses_of_names_that_stay() {
    let (first, _second, port) = two_on_one_port().await;
    let server = NameServer::start().await;
    server.tell(NAME, Reply::Addresses(vec![FIRST]));
    let gateway = gateway_to(&server, port, 1).await;
    server.tell(NAME, Reply::NoSuchName);
    let changed = format!(
        "dns: {{ servers: ['{}'] }}\n\
         upstreams: {{ u: {{ endpoints: ['http://{NAME}:{port}'], load_balancing: least_request }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n",
        server.address()
    );
    gateway.reload(&changed).await.unwrap();
    assert_eq!(gateway.get("/x").await.status, 200);
    assert_eq!(first.requests().len(), 1);
}
