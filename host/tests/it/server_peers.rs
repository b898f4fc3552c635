//! nginx and HAProxy as upstreams: HTTP/1, h2c and TLS with services that others wrote.

use http::Method;

use crate::support::TestGateway;
use crate::support::peers::{curl, run};
use crate::support::raw::RawConnection;
use crate::support::tls::Authority;
use crate::support::web_servers::{HaProxy, Nginx};

const MEGABYTES: usize = 10 << 20;

/// A gateway before that service.
async fn gateway_to(url: &str, keys: &str) -> TestGateway {
    TestGateway::start(&format!(
        "upstreams: {{ s: {{ endpoints: [\"{url}\"], {keys} }} }}
routes: [{{ name: all, upstream: s }}]"
    ))
    .await
}

/// Gateways before nginx, and before HAProxy before it, each over HTTP/1 and h2c.
struct Sites {
    plain: Nginx,
    http2: Nginx,
    _haproxy: HaProxy,
    gateways: Vec<(&'static str, TestGateway)>,
}

impl Sites {
    async fn start() -> Self {
        let plain = Nginx::start("", "").await;
        let http2 = Nginx::start("http2", "").await;
        let haproxy = HaProxy::start(&plain).await;
        let h2c = "protocol: http2";
        let gateways = vec![
            ("nginx", gateway_to(&plain.url(), "").await),
            ("nginx, h2c", gateway_to(&http2.url(), h2c).await),
            ("haproxy", gateway_to(&haproxy.url(), "").await),
            ("haproxy, h2c", gateway_to(&haproxy.h2c_url(), h2c).await),
        ];
        Self {
            plain,
            http2,
            _haproxy: haproxy,
            gateways,
        }
    }

    /// Puts a file before all gateways.
    fn serve(&self, name: &str, text: &str) {
        for nginx in [&self.plain, &self.http2] {
            std::fs::write(nginx.file(name), text).unwrap();
        }
    }

    /// Reads a file that was sent through that gateway.
    fn taken(&self, by: &str, name: &str) -> Vec<u8> {
        let nginx = if by == "nginx, h2c" {
            &self.http2
        } else {
            &self.plain
        };
        std::fs::read(nginx.file(name)).unwrap()
    }
}

/// Text that shows where a piece is missing or doubled.
fn megabytes() -> String {
    (0..MEGABYTES / 8)
        .map(|number| format!("{number:07}\n"))
        .collect()
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let sites = Sites::start().await;
    for (name, gateway) in &sites.gateways {
        let first = gateway.get("/connection").await.text();
        let second = gateway.get("/connection").await.text();
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let (first, second) = (words(&first), words(&second));
        assert_eq!(first[0], second[0], "{name}: another connection");
        let version = match *name {
            "nginx" => "HTTP/1.1",
            "nginx, h2c" => "HTTP/2.0",
            "haproxy" => "1",
            _ => "2",
        };
        assert_eq!(first.last().unwrap(), version, "{name}");
    }
}

#[tokio::test]
async fn heads_without_bodies_leave_the_connection_in_order() {
    let sites = Sites::start().await;
    sites.serve("a.txt", "hello");
    for (name, gateway) in &sites.gateways {
        let mut client = gateway.client().await;
        let before = client.send(Method::GET, "/connection", &[], "").await;
        let whole = client.send(Method::GET, "/a.txt", &[], "").await;
        assert_eq!(whole.text(), "hello", "{name}");
        let head = client.send(Method::HEAD, "/a.txt", &[], "").await;
        assert_eq!(
            (head.header("content-length"), head.body.len()),
            ("5", 0),
            "{name}"
        );
        let condition = [("if-none-match", whole.header("etag"))];
        let unchanged = client.send(Method::GET, "/a.txt", &condition, "").await;
        assert_eq!(
            (unchanged.status.as_u16(), unchanged.body.len()),
            (304, 0),
            "{name}"
        );
        assert_eq!(unchanged.header("etag"), whole.header("etag"), "{name}");
        let range = [("range", "bytes=1-3")];
        let part = client.send(Method::GET, "/a.txt", &range, "").await;
        assert_eq!((part.status.as_u16(), &*part.text()), (206, "ell"));
        let absent = client.send(Method::GET, "/none", &[], "").await;
        assert_eq!(absent.status, 404, "{name}");
        let after = client.send(Method::GET, "/connection", &[], "").await;
        let connection = |text: String| text.split(' ').next().unwrap().to_owned();
        assert_eq!(connection(before.text()), connection(after.text()));
    }
}

#[tokio::test]
async fn responses_of_unknown_length_pass_whole() {
    let sites = Sites::start().await;
    let text = megabytes();
    sites.serve("large.txt", &text);
    for (name, gateway) in &sites.gateways {
        let answer = gateway.get("/chunked/large.txt").await;
        assert_eq!(answer.header("content-length"), "", "{name}");
        assert!(answer.text() == text, "{name}: another body");
    }
}

#[tokio::test]
async fn ten_megabytes_pass_down_and_up() {
    let sites = Sites::start().await;
    let text = megabytes();
    sites.serve("down.txt", &text);
    for (name, gateway) in &sites.gateways {
        let mut client = gateway.client().await;
        let answer = client.send(Method::GET, "/down.txt", &[], "").await;
        assert_eq!(answer.header("content-length"), text.len().to_string());
        assert!(answer.text() == text, "{name}: another body");
        let answer = client.send(Method::PUT, "/up.txt", &[], &text).await;
        assert!(
            answer.status == 201 || answer.status == 204,
            "{name}: {answer:?}"
        );
        let taken = sites.taken(name, "up.txt");
        assert!(taken == text.as_bytes(), "{name}: {} bytes", taken.len());
    }
}

#[tokio::test]
async fn requests_of_unknown_length_pass_whole() {
    let sites = Sites::start().await;
    let text = megabytes();
    sites.serve("source.txt", &text);
    let source = sites.plain.file("source.txt").display().to_string();
    let chunked = ["--header", "transfer-encoding: chunked"];
    for (name, gateway) in &sites.gateways {
        let url = format!("http://{}/chunks.txt", gateway.address);
        let upload = ["--upload-file", &source, &url];
        for version in [&chunked[..], &["--http2-prior-knowledge"]] {
            let answer = curl(&[version, &upload].concat()).await;
            assert!(answer.contains(" 201") || answer.contains(" 204"), "{name}");
            let taken = sites.taken(name, "chunks.txt");
            assert!(taken == text.as_bytes(), "{name}: {} bytes", taken.len());
            std::fs::remove_file(match *name {
                "nginx, h2c" => sites.http2.file("chunks.txt"),
                _ => sites.plain.file("chunks.txt"),
            })
            .unwrap();
        }
    }
}

#[tokio::test]
async fn many_requests_at_once_all_succeed() {
    let sites = Sites::start().await;
    sites.serve("a.txt", "hello");
    for (name, gateway) in &sites.gateways {
        let url = format!("http://{}/a.txt", gateway.address);
        // More than an HTTP/1 or HTTP/2 connection to nginx serves before it is closed (1000).
        let printed = run("h2load", &["-n3000", "-c4", "-m25", &url]).await;
        assert!(printed.contains("3000 2xx"), "{name}: {printed}");
    }
}

#[tokio::test]
async fn connections_that_end_after_a_few_requests_fail_none() {
    // Over HTTP/2, nginx leaves out what had come beyond them, and says so by GOAWAY.
    for (listen, keys, requests) in [("", "", 5), ("http2", "protocol: http2", 50)] {
        let nginx = Nginx::start(listen, &format!("keepalive_requests {requests};")).await;
        std::fs::write(nginx.file("a.txt"), "hello").unwrap();
        let gateway = gateway_to(&nginx.url(), keys).await;
        let url = format!("http://{}/a.txt", gateway.address);
        let printed = run("h2load", &["-n1000", "-c4", "-m10", &url]).await;
        assert!(printed.contains("1000 2xx"), "{listen}: {printed}");
    }
}

#[tokio::test]
async fn an_upload_that_the_service_refuses_at_its_head_is_answered_so() {
    for (listen, keys) in [("", ""), ("http2", "protocol: http2")] {
        let nginx = Nginx::start(listen, "location /small/ { client_max_body_size 1k; }").await;
        let source = nginx.file("source.txt");
        std::fs::write(&source, megabytes()).unwrap();
        let source = source.display().to_string();
        let gateway = gateway_to(&nginx.url(), keys).await;
        let url = format!("http://{}/small/x", gateway.address);
        let upload = ["--header", "expect:", "--upload-file", &source, &url];
        for chunked in [&["--header", "transfer-encoding: chunked"][..], &[]] {
            let answer = curl(&[chunked, &upload].concat()).await;
            assert!(answer.contains(" 413"), "{listen}: {answer}");
        }
        // Over HTTP/2, curl 7.88 takes RST_STREAM with NO_ERROR after an answer for a failure.
        let upload = ["--verbose", "--data", &source, "--header", ":method: PUT"];
        let printed = run("nghttp", &[&upload[..], &[&url]].concat()).await;
        assert!(printed.contains(":status: 413"), "{listen}: {printed}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_whole() {
    for (listen, keys) in [("", ""), ("http2", "protocol: http2")] {
        // As slow as it can be, so that it is still on its way when nginx is gone.
        let nginx = Nginx::start(listen, "limit_rate 64k;").await;
        std::fs::write(nginx.file("a.txt"), megabytes()).unwrap();
        let gateway = gateway_to(&nginx.url(), keys).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /chunked/a.txt HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
        client.chunk().await;
        drop(nginx);
        let rest = client.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "{listen}: it ends well");
    }
}

/// `ssl_…` directives with that certificate of the authority.
fn with_tls(authority: &Authority, more: &str) -> String {
    format!(
        "ssl_certificate {}; ssl_certificate_key {}; {more}",
        authority.path("a.pem").display(),
        authority.path("a.key").display()
    )
}

fn trusting(authority: &Authority) -> String {
    format!("ca: \"{}\"", authority.path("ca.pem").display())
}

fn tls_url(nginx: &Nginx) -> String {
    format!("https://localhost:{}", nginx.port())
}

#[tokio::test]
async fn nginx_with_tls_serves_whom_trust_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("a", &["localhost"]);
    for (listen, protocol, version) in [
        ("ssl", "http1", "HTTP/1.1"),
        ("ssl http2", "http2", "HTTP/2.0"),
    ] {
        let nginx = Nginx::start(listen, &with_tls(&authority, "")).await;
        let keys = |tls: &str| format!("protocol: {protocol}, tls: {{ {tls} }}");
        let gateway = gateway_to(&tls_url(&nginx), &keys(&trusting(&authority))).await;
        let answer = gateway.get("/connection").await;
        assert!(answer.text().ends_with(version), "{answer:?}");
        let gateway = gateway_to(&tls_url(&nginx), &keys(&trusting(&other))).await;
        let answer = gateway.get("/connection").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-portcullis-error")),
            (502, "upstream-tls")
        );
    }
    let nginx = Nginx::start("ssl", &with_tls(&authority, "")).await;
    let keys = format!("protocol: http2, tls: {{ {} }}", trusting(&authority));
    let answer = gateway_to(&tls_url(&nginx), &keys).await.get("/").await;
    assert_eq!(answer.header("x-portcullis-error"), "upstream-tls");
}

#[tokio::test]
async fn nginx_sees_the_gateways_certificate() {
    let authority = Authority::new();
    authority.issue("a", &["localhost"]);
    authority.issue("gateway", &["gateway.internal"]);
    let ca = authority.path("ca.pem");
    let more = format!(
        "ssl_client_certificate {}; ssl_verify_client on; location = /who {{ return 200 $ssl_client_s_dn; }}",
        ca.display()
    );
    let nginx = Nginx::start("ssl", &with_tls(&authority, &more)).await;
    let own = format!(
        "client_certificate: {{ certificate: \"{}\", key: \"{}\" }}",
        authority.path("gateway.pem").display(),
        authority.path("gateway.key").display()
    );
    let keys = format!("tls: {{ {}, {own} }}", trusting(&authority));
    let answer = gateway_to(&tls_url(&nginx), &keys).await.get("/who").await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.text()),
        (200, "CN=gateway")
    );
    // nginx takes a connection without a certificate, and says what is missing.
    let keys = format!("tls: {{ {} }}", trusting(&authority));
    let answer = gateway_to(&tls_url(&nginx), &keys).await.get("/who").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("No required SSL certificate"));
}
