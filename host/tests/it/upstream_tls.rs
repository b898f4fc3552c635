//! TLS to upstreams: whom the gateway trusts, what it shows, and what is said when it does not fit.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::http2::H2Connection;
use crate::support::{TestGateway, eventually, within};

/// An authority whose files a config can name.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes `gateway.pem` and `gateway-key.pem`.
    fn write_client(&self) {
        let (certificate, key) = self.issue("gateway.internal");
        std::fs::write(self.path("gateway.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("gateway-key.pem"), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.directory.path();
        path.join(name).display().to_string()
    }
}

/// A service with a certificate.
struct TlsUpstream {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsUpstream {
    async fn start(authority: &Authority, name: &str, alpn: &[&[u8]], wants_client: bool) -> Self {
        let (certificate, key) = authority.issue(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: Arc::new(config).into(),
        }
    }

    fn url(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("https://localhost:{port}")
    }

    async fn accept(&self) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let (stream, _) = within(self.listener.accept()).await?;
        within(self.acceptor.accept(stream)).await
    }

    /// Answers one request with the name that was asked for.
    async fn serve(&self) {
        let Ok(stream) = self.accept().await else {
            return;
        };
        let name = stream
            .get_ref()
            .1
            .server_name()
            .unwrap_or("none")
            .to_owned();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while !line.ends_with("\r\n\r\n") {
            if within(stream.read_line(&mut line)).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}",
            name.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn config(upstream: &TlsUpstream, keys: &str) -> String {
    format!(
        "upstreams: {{ s: {{ endpoints: [\"{}\"], {keys} }} }}
routes: [{{ name: all, upstream: s }}]",
        upstream.url()
    )
}

#[tokio::test]
async fn a_certificate_of_the_trusted_authority_for_the_endpoints_name_will_do() {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, "localhost", &[b"http/1.1"], false).await;
    let tls = format!("tls: {{ ca: \"{}\" }}", authority.path("ca.pem"));
    let gateway = TestGateway::start(&config(&upstream, &tls)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "localhost".to_owned())
    );
}

#[tokio::test]
async fn the_configured_name_is_asked_for_and_checked() {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, "orders.internal", &[], false).await;
    let ca = authority.path("ca.pem");
    let right = format!("tls: {{ ca: \"{ca}\", server_name: orders.internal }}");
    let gateway = TestGateway::start(&config(&upstream, &right)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(answer.text(), "orders.internal");

    let wrong = format!("tls: {{ ca: \"{ca}\" }}");
    let gateway = TestGateway::start(&config(&upstream, &wrong)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-portcullis-error")),
        (502, "upstream-tls")
    );
}

#[tokio::test]
async fn nobody_unknown_is_trusted_unless_the_config_says_so() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = TlsUpstream::start(&authority, "localhost", &[], false).await;
    let tls = format!("tls: {{ ca: \"{}\" }}", other.path("ca.pem"));
    let gateway = TestGateway::start(&config(&upstream, &tls)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-portcullis-error")),
        (502, "upstream-tls")
    );
    let labels = [("portcullis_outcome", "tls")];
    gateway
        .wait_for_metric("portcullis_upstream_attempts_total", &labels, 1.0)
        .await;

    let gateway = TestGateway::start(&config(&upstream, "tls: { verify: false }")).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_gateway_shows_its_certificate_where_it_is_asked_for_one() {
    let authority = Authority::new();
    authority.write_client();
    let upstream = TlsUpstream::start(&authority, "localhost", &[], true).await;
    let ca = authority.path("ca.pem");
    let without = format!("tls: {{ ca: \"{ca}\" }}");
    let gateway = TestGateway::start(&config(&upstream, &without)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-portcullis-error")),
        (502, "upstream-tls")
    );

    let with = format!(
        "tls: {{ ca: \"{ca}\", client_certificate: {{ certificate: \"{}\", key: \"{}\" }} }}",
        authority.path("gateway.pem"),
        authority.path("gateway-key.pem")
    );
    let gateway = TestGateway::start(&config(&upstream, &with)).await;
    let (answer, ()) = tokio::join!(gateway.get("/"), upstream.serve());
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn http2_over_tls_is_agreed_on_or_refused() {
    let authority = Authority::new();
    let keys = format!(
        "protocol: http2, tls: {{ ca: \"{}\" }}",
        authority.path("ca.pem")
    );
    let upstream = TlsUpstream::start(&authority, "localhost", &[b"h2", b"http/1.1"], false).await;
    let gateway = TestGateway::start(&config(&upstream, &keys)).await;
    let serve = async {
        let stream = upstream.accept().await.unwrap();
        let mut connection = H2Connection::over(stream, &h2::server::Builder::new()).await;
        let exchange = connection.request().await;
        assert_eq!(exchange.request.uri().scheme_str(), Some("https"));
        exchange.answer("h2");
        connection
    };
    let (answer, _connection) = tokio::join!(gateway.get("/"), serve);
    assert_eq!(answer.text(), "h2");

    let upstream = TlsUpstream::start(&authority, "localhost", &[], false).await;
    let gateway = TestGateway::start(&config(&upstream, &keys)).await;
    let (answer, _) = tokio::join!(gateway.get("/"), upstream.accept());
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-portcullis-error")),
        (502, "upstream-tls")
    );
}

#[tokio::test]
async fn files_that_can_not_be_used_are_problems_at_their_place() {
    let authority = Authority::new();
    authority.write_client();
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    let (ca, certificate) = (authority.path("ca.pem"), authority.path("gateway.pem"));
    let (empty, gone) = (authority.path("empty.pem"), authority.path("gone.pem"));
    let table = [
        (
            format!("ca: \"{gone}\""),
            "upstreams.s.tls.ca: cannot read the file",
        ),
        (format!("ca: \"{empty}\""), "no certificate in PEM form"),
        (
            format!(
                "ca: \"{ca}\", client_certificate: {{ certificate: \"{certificate}\", key: \"{ca}\" }}"
            ),
            "upstreams.s.tls.client_certificate.key: ",
        ),
    ];
    for (keys, expected) in table {
        let refusal = TestGateway::refusal(&format!(
            "upstreams: {{ s: {{ endpoints: [\"https://localhost:1\"], tls: {{ {keys} }} }} }}
routes: [{{ name: all, upstream: s }}]"
        ))
        .await;
        assert!(refusal.contains(expected), "{keys}: {refusal}");
    }
}

#[tokio::test]
async fn a_health_check_is_made_over_tls() {
    let authority = Authority::new();
    let service = TlsUpstream::start(&authority, "localhost", &[b"http/1.1"], false).await;
    let ca = authority.path("ca.pem");
    let check = "timeout: 30s, interval: 100ms, unhealthy_after: 1, healthy_after: 1";
    let keys = format!("tls: {{ ca: '{ca}' }}, health_check: {{ {check}, expect: [404] }}");
    let gateway = TestGateway::start(&config(&service, &keys)).await;
    let is_healthy = || gateway.upstreams()[0].endpoints[0].healthy;
    // The service answers 200, which is not expected, and then what is.
    service.serve().await;
    eventually("it is unhealthy", async || !is_healthy()).await;
    let mut stream = BufReader::new(service.accept().await.unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        within(stream.read_line(&mut head)).await.unwrap();
    }
    assert!(head.starts_with("GET / HTTP/1.1"), "{head}");
    let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    within(stream.write_all(answer)).await.unwrap();
    eventually("it is healthy", async || is_healthy()).await;
}
