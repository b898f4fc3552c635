//! Clients that others wrote: curl, nghttp, h2load, httpx; over TLS and in the clear.

use mock_service::MockService;

use crate::support::TestGateway;
use crate::support::peers::{curl, python, run};
use crate::support::raw::RawUpstream;
use crate::support::tls::Authority;

const ROUTES: &str = "routes: [{ name: r, upstream: u }]";

/// An upstream, and gateways before it: one in the clear, one with TLS for `localhost`.
struct Site {
    upstream: MockService,
    plain: TestGateway,
    tls: TestGateway,
    authority: Authority,
}

impl Site {
    async fn start() -> Self {
        let authority = Authority::new();
        authority.issue("a", &["localhost"]);
        let upstream = MockService::start().await;
        let config = format!(
            "upstreams: {{ u: {{ endpoints: [{}] }} }}\n{ROUTES}",
            upstream.url()
        );
        let (certificate, key) = (authority.path("a.pem"), authority.path("a.key"));
        let listener = format!(
            "tls: {{ certificates: [{{ certificate: {}, key: {} }}] }}",
            certificate.display(),
            key.display()
        );
        Self {
            plain: TestGateway::start(&config).await,
            tls: TestGateway::start_on(&listener, &config).await,
            upstream,
            authority,
        }
    }

    fn http(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.plain.address.port())
    }

    fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls.address.port())
    }

    fn ca(&self) -> String {
        self.authority.path("ca.pem").display().to_string()
    }
}

#[tokio::test]
async fn curl_is_served_in_each_version_of_http() {
    let site = Site::start().await;
    let (http, https, ca) = (site.http("/x"), site.https("/x"), site.ca());
    let table: [(&[&str], &str); 6] = [
        (&["--http1.0", &http], "HTTP/1.0 200"),
        (&["--http1.1", &http], "HTTP/1.1 200"),
        (&["--http2-prior-knowledge", &http], "HTTP/2 200"),
        (&["--http1.0", "--cacert", &ca, &https], "HTTP/1.0 200"),
        (&["--http1.1", "--cacert", &ca, &https], "HTTP/1.1 200"),
        (&["--http2", "--cacert", &ca, &https], "HTTP/2 200"),
    ];
    for (arguments, status) in table {
        let answer = curl(arguments).await;
        assert!(answer.starts_with(status), "{arguments:?}: {answer}");
        assert!(answer.contains("\"path\":\"/x\""), "{answer}");
    }
    let answer = curl(&["--tlsv1.2", "--tls-max", "1.2", "--cacert", &ca, &https]).await;
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
}

/// Whether a second request goes over curl's first connection: its count of new connections.
async fn connections_of_two(arguments: &[&str], url: &str) -> String {
    let always = [
        "--silent",
        "--show-error",
        "--output",
        "/dev/null",
        "--output",
        "/dev/null",
        "--ipv4",
        "--noproxy",
        "*",
        "--write-out",
        "%{num_connects}",
    ];
    run("curl", &[&always, arguments, &[url, url]].concat()).await
}

#[tokio::test]
async fn curl_keeps_its_connection_but_with_http_1_0_without_keep_alive() {
    let site = Site::start().await;
    let url = site.http("/x");
    assert_eq!(connections_of_two(&["--http1.1"], &url).await, "10");
    // In the clear, curl 7.88 fails with a second request, whoever serves it.
    let (https, ca) = (site.https("/x"), site.ca());
    let http2 = ["--http2", "--cacert", &ca];
    assert_eq!(connections_of_two(&http2, &https).await, "10");
    assert_eq!(connections_of_two(&["--http1.0"], &url).await, "11");
    let kept = ["--http1.0", "--header", "connection: keep-alive"];
    assert_eq!(connections_of_two(&kept, &url).await, "10");
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection_for_http_1_0() {
    let site = Site::start().await;
    let url = site.http("/stream/3?interval_ms=1");
    for (version, is_chunked) in [("--http1.0", false), ("--http1.1", true)] {
        let answer = curl(&[version, &url]).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head.contains("transfer-encoding: chunked"),
            is_chunked,
            "{head}"
        );
        assert!(body.ends_with("chunk 3 of 3\n"), "{body}");
    }
}

#[tokio::test]
async fn curl_sees_heads_without_content() {
    let site = Site::start().await;
    let (plain, ca) = (site.http(""), site.ca());
    let versions: [(&[&str], &str); 3] = [
        (&["--http1.1"], &plain),
        (&["--http2-prior-knowledge"], &plain),
        (&["--http2", "--cacert", &ca], &site.https("")),
    ];
    for (version, base) in versions {
        for (path, more, status) in [
            ("/bytes/5", &["--head"][..], " 200"),
            ("/status/204", &[], " 204"),
            ("/status/304", &[], " 304"),
        ] {
            let url = format!("{base}{path}");
            let answer = curl(&[version, more, &[&url]].concat()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.lines().next().unwrap().contains(status), "{head}");
            assert_eq!(body, "", "{path}");
        }
    }
}

#[tokio::test]
async fn curl_gets_100_continue_before_it_sends_its_body() {
    let site = Site::start().await;
    let expect = [
        "--header",
        "expect: 100-continue",
        "--expect100-timeout",
        "25",
    ];
    let body = ["--data", "hello"];
    let (http, https, ca) = (site.http("/x"), site.https("/x"), site.ca());
    let answer = curl(&[&expect[..], &body, &["--http1.1", &http]].concat()).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"),
        "{answer}"
    );
    assert!(answer.contains("\"body\":\"hello\""), "{answer}");
    let more = ["--http1.1", "--cacert", &ca, &https];
    let answer = curl(&[&expect[..], &body, &more].concat()).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_refused_request_is_answered_without_100_continue() {
    let upstream = RawUpstream::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u, match: {{ path_prefix: /x }} }}]",
        upstream.url()
    ))
    .await;
    let url = format!("http://{}/y", gateway.address);
    let expect = [
        "--header",
        "expect: 100-continue",
        "--expect100-timeout",
        "25",
    ];
    let answer = curl(&[&expect[..], &["--data", "hello", &url]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn curl_uploads_and_downloads_megabytes() {
    let site = Site::start().await;
    let file = site.authority.path("upload");
    std::fs::write(&file, "0123456789abcdef".repeat(64 << 10)).unwrap();
    let upload = format!("@{}", file.display());
    let ca = site.ca();
    let versions: [(&[&str], String); 3] = [
        (&["--http2-prior-knowledge"], site.http("")),
        (&["--http1.1", "--cacert", &ca], site.https("")),
        (&["--http2", "--cacert", &ca], site.https("")),
    ];
    for (version, base) in versions {
        let url = format!("{base}/upload");
        curl(&[version, &["--data-binary", &upload, &url]].concat()).await;
        let sent = site.upstream.requests_to("/upload");
        assert_eq!(sent.last().unwrap().body.len(), 1 << 20);
        let url = format!("{base}/bytes/2000000");
        let size = ["--output", "/dev/null", "--write-out", "%{size_download}"];
        let printed = curl(&[version, &size[..], &[&url]].concat()).await;
        assert_eq!(printed, "2000000");
    }
}

#[tokio::test]
async fn nghttp_is_served() {
    let site = Site::start().await;
    for url in [site.http("/x"), site.https("/x")] {
        let printed = run(
            "nghttp",
            &["--no-verify-peer", "--stat", "--multiply=20", &url],
        )
        .await;
        assert_eq!(printed.matches("\"path\":\"/x\"").count(), 20, "{printed}");
    }
}

#[tokio::test]
async fn all_requests_of_h2load_succeed() {
    let site = Site::start().await;
    for url in [site.http("/x"), site.https("/x")] {
        let arguments = ["-n500", "-c5", "-m20", &url];
        let printed = run("h2load", &arguments).await;
        assert!(printed.contains("500 succeeded, 0 failed"), "{printed}");
        assert!(printed.contains("500 2xx"), "{printed}");
    }
    let http1 = ["-n200", "-c5", "--h1", &site.https("/x")];
    let printed = run("h2load", &http1).await;
    assert!(printed.contains("200 2xx"), "{printed}");
}

const HTTPX: &str = r#"
import httpx, ssl, sys
url, ca = sys.argv[1:]
with httpx.Client(http2=True, verify=ssl.create_default_context(cafile=ca), trust_env=False) as client:
    for n in range(5):
        answer = client.post(url, content=b"hello", cookies={"a": "1", "b": "2"})
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200), answer
        seen = answer.json()
        assert seen["body"] == "hello", seen
        assert seen["headers"]["cookie"] == ["a=1; b=2"], seen
        assert seen["headers"]["x-forwarded-proto"] == ["https"], seen
print("ok")
"#;

#[tokio::test]
async fn httpx_speaks_http_2_over_tls() {
    let site = Site::start().await;
    let arguments = ["-c", HTTPX, &site.https("/x"), &site.ca()];
    assert_eq!(run(python(), &arguments).await, "ok\n");
}
