//! TLS towards clients: certificates, names, versions, clients' certificates, reload.

use mock_service::MockService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::tls::{Authority, connect, from_pem, shown};
use crate::support::{TestGateway, within};

fn routes(upstream: &MockService) -> String {
    format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    )
}

/// `tls` of a listener with those certificates of the authority, and more keys.
fn tls(authority: &Authority, names: &[&str], more: &str) -> String {
    let pairs: Vec<String> = names
        .iter()
        .map(|name| {
            let (certificate, key) = (
                authority.path(&format!("{name}.pem")),
                authority.path(&format!("{name}.key")),
            );
            format!(
                "{{ certificate: {}, key: {} }}",
                certificate.display(),
                key.display()
            )
        })
        .collect();
    format!("tls: {{ certificates: [{}], {more} }}", pairs.join(", "))
}

fn clients(authority: &Authority, mode: &str) -> String {
    let ca = authority.path("ca.pem");
    format!(
        "client_certificates: {{ ca: {}, mode: {mode} }}",
        ca.display()
    )
}

/// An upstream and a gateway with the certificate `a.test`.
async fn site(authority: &Authority, more: &str) -> (MockService, TestGateway) {
    authority.issue("a", &["a.test"]);
    let upstream = MockService::start().await;
    let listener = tls(authority, &["a"], more);
    let gateway = TestGateway::start_on(&listener, &routes(&upstream)).await;
    (upstream, gateway)
}

/// What a GET over HTTP/1 brings: the whole answer.
async fn get(client: &TlsConnector, gateway: &TestGateway) -> std::io::Result<String> {
    let mut stream = connect(client, gateway.address, "a.test").await?;
    let request = b"GET /x HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

#[tokio::test]
async fn requests_over_tls_are_https_for_the_upstream() {
    let authority = Authority::new();
    let (upstream, gateway) = site(&authority, "").await;
    let answer = get(&authority.client(&[], None), &gateway).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.requests()[0].headers["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn alpn_decides_between_http_2_and_http_1() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let table: [(&[&str], Option<&[u8]>); 3] = [
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ];
    for (offered, agreed) in table {
        let client = authority.client(offered, None);
        let stream = connect(&client, gateway.address, "a.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    let client = authority.client(&["h2"], None);
    let stream = connect(&client, gateway.address, "a.test").await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://a.test/x").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let authority = Authority::new();
    authority.issue("a", &["a.test", "unknown.test", "127.0.0.1"]);
    authority.issue("b", &["b.test", "*.b.test"]);
    let upstream = MockService::start().await;
    let listener = tls(&authority, &["a", "b"], "");
    let gateway = TestGateway::start_on(&listener, &routes(&upstream)).await;
    let client = authority.client(&[], None);
    let table = [
        ("a.test", "a.pem"),
        ("b.test", "b.pem"),
        ("x.b.test", "b.pem"),
        ("unknown.test", "a.pem"),
        // Without a name.
        ("127.0.0.1", "a.pem"),
    ];
    for (name, file) in table {
        let stream = connect(&client, gateway.address, name).await.unwrap();
        assert_eq!(shown(&stream), from_pem(&authority.path(file)), "{name}");
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let client = authority.client(&["http/1.1"], None);
    get(&client, &gateway).await.unwrap();
    let stream = connect(&client, gateway.address, "a.test").await.unwrap();
    assert_eq!(
        stream.get_ref().1.handshake_kind(),
        Some(rustls::HandshakeKind::Resumed)
    );
}

#[tokio::test]
async fn required_client_certificates_are_required_and_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_upstream, gateway) = site(&authority, &clients(&authority, "required")).await;
    authority.issue("client", &["client.test"]);
    stranger.issue("client", &["client.test"]);
    let trusted = authority.client(&[], Some("client"));
    let answer = get(&trusted, &gateway).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let none = authority.client(&[], None);
    assert!(get(&none, &gateway).await.is_err());
    let foreign = authority.client_with(&[], &stranger, "client");
    assert!(get(&foreign, &gateway).await.is_err());
    let labels = [("portcullis_kind", "failed")];
    gateway
        .wait_for_metric("portcullis_tls_handshakes_failed_total", &labels, 2.0)
        .await;
}

#[tokio::test]
async fn optional_client_certificates_are_optional() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, &clients(&authority, "optional")).await;
    authority.issue("client", &["client.test"]);
    for certificate in [None, Some("client")] {
        let client = authority.client(&[], certificate);
        let answer = get(&client, &gateway).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn changed_certificates_are_taken_over_and_connections_stay() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let client = authority.client(&[], None);
    let mut kept = connect(&client, gateway.address, "a.test").await.unwrap();
    let old = shown(&kept);
    let reloads = "portcullis_tls_certificate_reloads_total";

    // The certificate alone is not that of the key.
    let (certificate, key) = authority.sign("a", &["a.test"]);
    std::fs::write(authority.path("a.pem"), &certificate).unwrap();
    gateway
        .wait_for_metric(reloads, &[("portcullis_result", "rejected")], 1.0)
        .await;
    let stream = connect(&client, gateway.address, "a.test").await.unwrap();
    assert_eq!(shown(&stream), old);

    std::fs::write(authority.path("a.key"), key).unwrap();
    gateway
        .wait_for_metric(reloads, &[("portcullis_result", "ok")], 1.0)
        .await;
    let fresh = authority.client(&[], None);
    let stream = connect(&fresh, gateway.address, "a.test").await.unwrap();
    assert_eq!(shown(&stream), from_pem(&authority.path("a.pem")));
    assert_ne!(shown(&stream), old);

    let request = b"GET /x HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut answer = String::new();
    within(kept.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_reload_of_the_config_brings_its_tls_to_new_connections() {
    let authority = Authority::new();
    let (upstream, gateway) = site(&authority, "").await;
    authority.issue("b", &["a.test"]);
    let listener = tls(&authority, &["b"], "");
    gateway
        .reload_on(&listener, &routes(&upstream))
        .await
        .unwrap();
    let client = authority.client(&[], None);
    let stream = connect(&client, gateway.address, "a.test").await.unwrap();
    assert_eq!(shown(&stream), from_pem(&authority.path("b.pem")));
    // And TLS goes when the config has none.
    gateway.reload(&routes(&upstream)).await.unwrap();
    assert_eq!(gateway.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_where_a_certificate_is_asked_for_since() {
    let authority = Authority::new();
    let (upstream, gateway) = site(&authority, "").await;
    let client = authority.client(&["http/1.1"], None);
    assert!(get(&client, &gateway).await.unwrap().contains("200"));
    let listener = tls(&authority, &["a"], &clients(&authority, "required"));
    gateway
        .reload_on(&listener, &routes(&upstream))
        .await
        .unwrap();
    assert!(get(&client, &gateway).await.is_err());
}

#[tokio::test]
async fn sessions_are_resumed_across_a_reload() {
    let authority = Authority::new();
    let (upstream, gateway) = site(&authority, "").await;
    let client = authority.client(&["http/1.1"], None);
    get(&client, &gateway).await.unwrap();
    let listener = tls(&authority, &["a"], "");
    let routes = format!("{}\nworkers: 1", routes(&upstream));
    gateway.reload_on(&listener, &routes).await.unwrap();
    let stream = connect(&client, gateway.address, "a.test").await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(rustls::HandshakeKind::Resumed));
}

#[tokio::test]
async fn the_drain_ends_a_request_in_flight_with_connection_close() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    let upstream = RawUpstream::start().await;
    let routes = format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    );
    let gateway = TestGateway::start_on(&tls(&authority, &["a"], ""), &routes).await;
    let client = authority.client(&["http/1.1"], None);
    let mut stream = connect(&client, gateway.address, "a.test").await.unwrap();
    let mut idle = connect(&client, gateway.address, "a.test").await.unwrap();
    let request = b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut service = upstream.accept().await;
    service.head().await;
    let stop = tokio::spawn(gateway.stop());
    // The idle one is told first of all that there is no more.
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .await;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ndone"), "{answer}");
    within(stop).await.unwrap();
}

#[tokio::test]
async fn plain_http_to_a_tls_port_does_no_harm() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let mut plain = RawConnection::connect(gateway.address).await;
    plain.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!plain.bytes_to_end().await.starts_with(b"HTTP"));
    let client = authority.client(&[], None);
    assert!(get(&client, &gateway).await.unwrap().contains("200"));
}

#[tokio::test]
async fn a_client_that_does_not_begin_its_handshake_holds_up_nobody() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let _silent = RawConnection::connect(gateway.address).await;
    let client = authority.client(&[], None);
    assert!(get(&client, &gateway).await.unwrap().contains("200"));
    // Nor does it hold up the end.
    within(gateway.stop()).await;
}

#[tokio::test]
async fn files_that_are_no_use_are_config_errors() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    authority.issue("b", &["b.test"]);
    let upstream = MockService::start().await;
    let routes = routes(&upstream);
    let good = tls(&authority, &["a"], &clients(&authority, "required"));
    let table = [
        (
            "a.pem",
            "gone.pem",
            "certificates[0].certificate: cannot read the file",
        ),
        (
            "a.pem",
            "a.key",
            "certificates[0].certificate: no certificate in the file",
        ),
        (
            "a.key",
            "a.pem",
            "certificates[0].key: no private key in the file",
        ),
        (
            "a.key",
            "b.key",
            "certificates[0].key: the key is not that of the certificate",
        ),
        (
            "ca.pem",
            "gone.pem",
            "client_certificates.ca: cannot read the file",
        ),
        (
            "ca.pem",
            "a.key",
            "client_certificates.ca: no certificate in the file",
        ),
    ];
    for (from, to, problem) in table {
        let refusal = TestGateway::refusal_on(&good.replace(from, to), &routes).await;
        let problem = format!("listeners[0].tls.{problem}");
        assert!(refusal.contains(&problem), "{refusal}");
    }
}

#[tokio::test]
async fn idle_connections_end_when_the_gateway_stops() {
    let authority = Authority::new();
    let (_upstream, gateway) = site(&authority, "").await;
    let client = authority.client(&["http/1.1"], None);
    let mut idle = connect(&client, gateway.address, "a.test").await.unwrap();
    let request = b"HEAD /x HTTP/1.1\r\nhost: a.test\r\n\r\n";
    idle.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(idle.read_u8()).await.unwrap());
    }
    within(gateway.stop()).await;
    let mut rest = Vec::new();
    // close_notify: the end is one, not a cut.
    within(idle.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    let upstream = MockService::start().await;
    let config = format!("timeouts: {{ handshake: 100ms }}\n{}", routes(&upstream));
    let listener = tls(&authority, &["a"], "");
    let gateway = TestGateway::start_on(&listener, &config).await;
    let mut silent = RawConnection::connect(gateway.address).await;
    assert_eq!(silent.rest().await, "");
    let labels = [("portcullis_kind", "timeout")];
    gateway
        .wait_for_metric("portcullis_tls_handshakes_failed_total", &labels, 1.0)
        .await;
}
